#include "mirror/seal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "mirror/replay.h"
#include "wire/datagram.h"

enum {
    WORDS_FOR_SENDER = 128, /* 8,128 numbers: a millisecond of reordering at 8 million datagrams a second */
    WORDS_FOR_OTHERS = 8,   /* reports are few */
};

#define NEVER UINT64_MAX /* a generation */

struct member {
    uint16_t id;
    uint64_t generation; /* of key; NEVER: none yet */
    struct seal_key key;
    struct replay replay;
};

struct sealing {
    struct seal_grant grant;
    struct seal_counters counters;
    EVP_CIPHER_CTX *closing, *opening;

    struct seal_key key; /* its own */
    uint64_t generation, number;

    const struct member *keyed; /* whose key the opening context has; NULL: nobody's */
    struct member guest;        /* who is heard for the first time: seated if what it says is genuine */
    uint32_t members_max;
    uint64_t *seen;         /* of all windows; the guest's come last */
    struct member *members; /* a receiver's first is the sender */
    uint16_t *ids;          /* of each, together, for a quick look; FREE: nobody is there */
};

enum { BESIDE_BYTES = DATAGRAM_HEAD_BYTES }; /* what is authenticated, and not encrypted */

enum { FREE = 0 /* the sender's, and who is looked for by that has a place of its own */ };

/* Where the CRC of others stands. */
struct label {
    uint16_t id, member;
};
_Static_assert(sizeof(struct label) == sizeof((hermes_header_t){0}.crc), "in its place");

static struct label label_of(const hermes_header_t *header)
{
    struct label label;
    memcpy(&label, &header->crc, sizeof label);
    return label;
}

static bool is_sender(const struct sealing *s)
{
    return s->grant.member == SEAL_SENDER;
}

/* ---- making ---- */

static bool make_contexts(struct sealing *s)
{
    s->closing = EVP_CIPHER_CTX_new();
    s->opening = EVP_CIPHER_CTX_new();
    return s->closing != NULL && s->opening != NULL &&
           EVP_EncryptInit_ex(s->closing, EVP_aes_256_gcm(), NULL, NULL, NULL) == 1 &&
           EVP_DecryptInit_ex(s->opening, EVP_aes_256_gcm(), NULL, NULL, NULL) == 1;
}

/* The first place has the large window: of receivers, for the sender. */
static void lay_out(struct sealing *s)
{
    uint64_t *seen = s->seen;
    for (uint32_t i = 0; i <= s->members_max; i++) {
        struct replay *replay = i < s->members_max ? &s->members[i].replay : &s->guest.replay;
        replay->words = i == 0 && !is_sender(s) ? WORDS_FOR_SENDER : WORDS_FOR_OTHERS;
        replay->seen = seen;
        seen += replay->words;
    }
}

static void seat(struct member *member, uint16_t id)
{
    member->id = id;
    member->generation = NEVER;
    member->replay.latest = 0;
    memset(member->replay.seen, 0, member->replay.words * sizeof *member->replay.seen);
}

int sealing_make(struct sealing **sealing, const struct seal_grant *grant, uint32_t members_max)
{
    if (grant->id == 0 || members_max == 0 || members_max > SEAL_MEMBERS_MAX)
        return HERMES_EINVALID;
    struct sealing *s = calloc(1, sizeof *s);
    if (s == NULL)
        return HERMES_ENOMEM;
    int rc = HERMES_ENOMEM;
    s->grant = *grant;
    s->generation = NEVER;
    s->members_max = members_max;
    s->members = calloc(members_max, sizeof *s->members);
    s->ids = calloc(members_max, sizeof *s->ids);
    s->seen = calloc((size_t)(members_max + 1) * WORDS_FOR_OTHERS + WORDS_FOR_SENDER, sizeof *s->seen);
    if (s->members == NULL || s->ids == NULL || s->seen == NULL)
        goto fail;
    rc = HERMES_EIO;
    if (!make_contexts(s))
        goto fail;
    lay_out(s);
    if (!is_sender(s))
        seat(&s->members[0], SEAL_SENDER);
    *sealing = s;
    return HERMES_OK;
fail:
    sealing_free(s);
    return rc;
}

void sealing_free(struct sealing *s)
{
    if (s == NULL)
        return;
    EVP_CIPHER_CTX_free(s->closing); /* wipes the key */
    EVP_CIPHER_CTX_free(s->opening);
    if (s->members != NULL)
        OPENSSL_cleanse(s->members, s->members_max * sizeof *s->members);
    free(s->members);
    free(s->ids);
    free(s->seen);
    OPENSSL_cleanse(s, sizeof *s);
    free(s);
}

/* ---- members ---- */

/* In which place; members_max: in none. */
static uint32_t place_of(const struct sealing *s, uint16_t id)
{
    uint32_t place = is_sender(s) ? 0 : 1;
    while (place < s->members_max && s->ids[place] != id)
        place++;
    return place;
}

static bool has_room(const struct sealing *s)
{
    return place_of(s, FREE) < s->members_max;
}

static struct member *find(struct sealing *s, uint16_t id)
{
    if (id == SEAL_SENDER)
        return is_sender(s) ? NULL : &s->members[0];
    uint32_t place = place_of(s, id);
    return place < s->members_max ? &s->members[place] : NULL;
}

/* In a free place. */
static struct member *add(struct sealing *s, uint16_t id)
{
    uint32_t place = place_of(s, FREE);
    s->ids[place] = id;
    seat(&s->members[place], id);
    return &s->members[place];
}

int sealing_admit(struct sealing *s, uint16_t id)
{
    if (id == SEAL_SENDER || !is_sender(s))
        return HERMES_EINVALID;
    if (find(s, id) != NULL)
        return HERMES_EEXISTS;
    if (!has_room(s))
        return HERMES_ELIMIT;
    (void)add(s, id);
    return HERMES_OK;
}

void sealing_dismiss(struct sealing *s, uint16_t id)
{
    struct member *member = find(s, id);
    if (member == NULL || !is_sender(s))
        return;
    s->ids[member - s->members] = FREE;
    if (s->keyed == member)
        s->keyed = NULL;
    OPENSSL_cleanse(&member->key, sizeof member->key);
}

/* Whom a datagram is from. NULL: nobody that it listens to. */
static struct member *speaker(struct sealing *s, const hermes_header_t *header)
{
    struct label label = label_of(header);
    if (label.id != s->grant.id || label.member == s->grant.member)
        return NULL;
    struct member *member = find(s, label.member);
    if (member != NULL || is_sender(s) || !has_room(s))
        return member;
    s->keyed = NULL;
    seat(&s->guest, label.member);
    return &s->guest;
}

/* What a guest said was genuine. */
static struct member *take_in(struct sealing *s, const struct member *guest)
{
    struct member *member = add(s, guest->id);
    member->generation = guest->generation;
    member->key = guest->key;
    s->keyed = NULL;
    return member;
}

/* ---- sealing ---- */

static bool next_key(struct sealing *s, uint64_t generation)
{
    if (s->generation == generation)
        return true;
    s->generation = NEVER;
    if (seal_derive(&s->grant, s->grant.member, generation, &s->key) < 0 ||
        EVP_EncryptInit_ex(s->closing, NULL, NULL, s->key.key, NULL) != 1)
        return false;
    s->generation = generation;
    return true;
}

static bool encrypt(struct sealing *s, uint64_t number, uint8_t *bytes, int body_bytes)
{
    uint8_t nonce[SEAL_NONCE_BYTES], *body = bytes + DATAGRAM_HEAD_BYTES;
    int count;
    seal_nonce(&s->key, number, nonce);
    return EVP_EncryptInit_ex(s->closing, NULL, NULL, NULL, nonce) == 1 &&
           EVP_EncryptUpdate(s->closing, NULL, &count, bytes, BESIDE_BYTES) == 1 &&
           EVP_EncryptUpdate(s->closing, body, &count, body, body_bytes) == 1 &&
           EVP_EncryptFinal_ex(s->closing, body + body_bytes, &count) == 1 &&
           EVP_CIPHER_CTX_ctrl(s->closing, EVP_CTRL_AEAD_GET_TAG, DATAGRAM_TAG_BYTES, body + body_bytes) == 1;
}

int64_t sealing_seal(struct sealing *s, void *bytes, size_t length)
{
    struct datagram_head head;
    if (length < DATAGRAM_HEAD_BYTES || length > DATAGRAM_BYTES_MAX)
        return HERMES_EMALFORMED;
    memcpy(&head, bytes, sizeof head);
    if (head.header.flags & HERMES_FLAG_CRC)
        return HERMES_EMALFORMED;
    if (head.number <= s->number)
        return HERMES_EINVALID; /* a nonce that was used */
    struct label label = {s->grant.id, s->grant.member};
    memcpy((uint8_t *)bytes + offsetof(hermes_header_t, crc), &label, sizeof label);
    s->number = head.number; /* whatever comes of it: this nonce is used */
    if (!next_key(s, seal_generation(head.number)) ||
        !encrypt(s, head.number, bytes, (int)(length - DATAGRAM_HEAD_BYTES)))
        return HERMES_EIO;
    s->counters.sealed++;
    return (int64_t)length + DATAGRAM_TAG_BYTES;
}

/* ---- opening ---- */

/* The key is kept for a member only once it has opened something: a number that somebody made up costs a
 * derivation, and changes nothing. */
static bool use_key(struct sealing *s, const struct member *member, uint64_t generation, struct seal_key *key)
{
    bool kept = member->generation == generation;
    if (kept)
        *key = member->key;
    if (kept && s->keyed == member)
        return true;
    s->keyed = NULL;
    if ((!kept && seal_derive(&s->grant, member->id, generation, key) < 0) ||
        EVP_DecryptInit_ex(s->opening, NULL, NULL, key->key, NULL) != 1)
        return false;
    s->keyed = kept ? member : NULL;
    return true;
}

static bool decrypt(struct sealing *s, const struct seal_key *key, uint64_t number, uint8_t *bytes,
                    int body_bytes)
{
    uint8_t nonce[SEAL_NONCE_BYTES], *body = bytes + DATAGRAM_HEAD_BYTES;
    int count;
    seal_nonce(key, number, nonce);
    return EVP_DecryptInit_ex(s->opening, NULL, NULL, NULL, nonce) == 1 &&
           EVP_DecryptUpdate(s->opening, NULL, &count, bytes, BESIDE_BYTES) == 1 &&
           EVP_DecryptUpdate(s->opening, body, &count, body, body_bytes) == 1 &&
           EVP_CIPHER_CTX_ctrl(s->opening, EVP_CTRL_AEAD_SET_TAG, DATAGRAM_TAG_BYTES, body + body_bytes) ==
               1 &&
           EVP_DecryptFinal_ex(s->opening, body + body_bytes, &count) == 1;
}

static bool open_from(struct sealing *s, struct member *member, uint64_t number, uint8_t *bytes,
                      int body_bytes)
{
    struct seal_key key;
    uint64_t generation = seal_generation(number);
    bool opened = use_key(s, member, generation, &key) && decrypt(s, &key, number, bytes, body_bytes);
    if (opened && (member->generation == NEVER || generation > member->generation)) {
        member->key = key;
        member->generation = generation;
        s->keyed = member;
    }
    return opened;
}

static bool is_sealed(const void *bytes, size_t length, struct datagram_head *head)
{
    if (length < DATAGRAM_HEAD_BYTES + DATAGRAM_TAG_BYTES || length > DATAGRAM_BYTES_MAX + DATAGRAM_TAG_BYTES)
        return false;
    memcpy(head, bytes, sizeof *head);
    return head->header.magic == HERMES_MAGIC && (head->header.flags & HERMES_FLAG_CRC) == 0;
}

int64_t sealing_unseal(struct sealing *s, void *bytes, size_t length)
{
    struct datagram_head head;
    if (!is_sealed(bytes, length, &head)) {
        s->counters.malformed++;
        return HERMES_EMALFORMED;
    }
    struct member *member = speaker(s, &head.header);
    if (member == NULL) {
        s->counters.strange++;
        return HERMES_EACCESS;
    }
    if (!replay_is_new(&member->replay, head.number)) {
        s->counters.repeated++;
        return HERMES_EEXISTS;
    }
    size_t plain = length - DATAGRAM_TAG_BYTES;
    if (!open_from(s, member, head.number, bytes, (int)(plain - DATAGRAM_HEAD_BYTES))) {
        s->counters.forged++;
        return HERMES_ECHECKSUM;
    }
    if (member == &s->guest)
        member = take_in(s, member);
    replay_mark(&member->replay, head.number);
    memset((uint8_t *)bytes + offsetof(hermes_header_t, crc), 0, sizeof head.header.crc);
    s->counters.opened++;
    return (int64_t)plain;
}

uint16_t sealing_id(const void *bytes, size_t length)
{
    struct datagram_head head;
    return is_sealed(bytes, length, &head) ? label_of(&head.header).id : 0;
}

uint16_t sealing_member(const void *bytes)
{
    hermes_header_t header;
    memcpy(&header, bytes, sizeof header);
    return label_of(&header).member;
}

const struct seal_counters *sealing_counters(const struct sealing *s)
{
    return &s->counters;
}
