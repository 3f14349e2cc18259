/* What is taken for a feed, and what is said of what is none: each text is a file, and each refusal says
 * where. */
#include "test.h"

#include <fcntl.h>
#include <zlib.h>

#include "cli/feed/feed.h"

static char file[] = "/tmp/hermes-test-feed-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(file);
    return fd < 0 || close(fd) != 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(file);
}

static void write_file(const void *bytes, size_t length, int flags)
{
    int fd = open(file, O_WRONLY | O_CLOEXEC | flags);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
}

struct reading {
    size_t records;
    uint64_t times_ns[64];
    char last[64];
    bool timed;
    int rc;
    struct error_text text;
};

static void read_feed(struct feed *feed, struct reading *reading)
{
    struct feed_record record;
    while ((reading->rc = feed_next(feed, &record, &reading->text)) > 0) {
        reading->timed = record.timed;
        reading->times_ns[reading->records++ % 64] = record.time_ns;
        snprintf(reading->last, sizeof reading->last, "%.*s", (int)record.length, (const char *)record.bytes);
    }
}

static struct reading read_wish(const void *bytes, size_t length, struct feed_wish wish)
{
    struct reading reading = {0};
    struct feed *feed;
    write_file(bytes, length, O_TRUNC);
    reading.rc = feed_open(file, wish, &feed, &reading.text);
    if (reading.rc == 0) {
        read_feed(feed, &reading);
        feed_close(feed);
    }
    if (reading.rc < 0)
        assert_true(strlen(reading.text.bytes) > 5);
    return reading;
}

static struct reading read_text(const char *text)
{
    return read_wish(text, strlen(text), (struct feed_wish){0});
}

static struct reading read_with_time(const char *text, const char *column)
{
    return read_wish(text, strlen(text), (struct feed_wish){.columns.time_column = column});
}

static void assert_refused(struct reading reading, size_t after, const char *words)
{
    assert_int_equal(reading.rc, HERMES_EMALFORMED);
    assert_int_equal(reading.records, after);
    if (strstr(reading.text.bytes, words) == NULL)
        fail_msg("'%s' is not in '%s'", words, reading.text.bytes);
}

static void assert_read(struct reading reading, size_t records)
{
    if (reading.rc < 0)
        fail_msg("%s", reading.text.bytes);
    assert_int_equal(reading.records, records);
}

static void times_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *text, *column;
        bool timed;
        uint64_t second_ns;
    } cases[] = {
        {"34200.5,a\n34200.75,b\n", NULL, true, 34200750000000},
        {"34200,a\n34200.75,b\n", NULL, true, 34200750000000}, /* the first has no fraction */
        {"\xef\xbb\xbf"
         "34200.5,a\n34200.75,b\n",
         NULL, true, 34200750000000},
        {"time,what\n34200,a\n34201,b\n", NULL, true, 34201000000000},
        {"\xef\xbb\xbf"
         "Time,what\n34200,a\n34201,b\n",
         NULL, true, 34201000000000},
        {"what,time_ns\na,1340285400000000000\nb,1340285400000000001\n", NULL, true, 1340285400000000001},
        {"what,Timestamp ms\na,5\nb,7.25\n", NULL, true, 7250000}, /* as with an underscore */
        {"what,Time-NS\na,5\nb,7\n", NULL, true, 7},
        {"what,timestampMs\na,5\nb,7.25\n", NULL, true, 7250000},
        {"what,exchange us\na,5\nb,7\n", "exchange_us", true, 7000},
        {"what,status\na,5\nb,7\n", "status", true, 7000000000}, /* no stat, in microseconds */
        {"what,times\na,5\nb,7\n", NULL, false, 0},
        {"what,timestamp_us\na,5\nb,7.25\n", NULL, true, 7250},
        {"what,exchange_ns\na,5\nb,7\n", "exchange_ns", true, 7},
        {"5,1.0\n6,2.0\n", "2", true, 2000000000},
        {"5,1.0\n6,2.0\n", NULL, false, 0},
        {"585.5,100\n585.25,200\n", NULL, false, 0}, /* prices: they go back */
        {"34200.5,a\n34200.75,b\n", "0", false, 0},
        {"\"1.5\",a\n \"2.5\" ,b\n", NULL, true, 2500000000},
        {"1.5,a\n2.1234567899,b\n", NULL, true, 2123456789}, /* less than a nanosecond is cut off */
        {"18446744073.709551615,a\n18446744073.709551615,b\n", NULL, true, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reading reading = read_with_time(cases[i].text, cases[i].column);
        assert_read(reading, 2);
        assert_int_equal(reading.timed, cases[i].timed);
        assert_int_equal(reading.times_ns[1], cases[i].second_ns);
    }
}

static void what_is_no_time_is_refused_where_it_stands(void **state)
{
    (void)state;
    static const char *const times[] = {"-1.5",
                                        "18446744073.709551616",
                                        "99999999999999999999999",
                                        "",
                                        "noon",
                                        "1e5",
                                        "0x10",
                                        "inf",
                                        "+1",
                                        "1.5.2",
                                        ".",
                                        "-",
                                        "1 2",
                                        "1.5s"};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "what,time\na,1.5\nb,%s\nc,3\n", times[i]);
        assert_refused(read_text(text), 1, "line 3, column 2: ");
    }
    assert_refused(read_text("time\n34200000000000\n"), 0, "time_ns");
    assert_refused(read_with_time("1,2\n", "3"), 0, "line 1: there is no column 3: there are 2");
    assert_refused(read_with_time("1,2\n", "time"), 0, "line 1: there is no heading");
    assert_refused(read_with_time("a,b\n1,2\n", "c"), 0, "line 1: the heading has no column c");
    assert_refused(read_with_time("a,b\n1,2\n", "-1"), 0, "line 1: there is no column -1");
    assert_refused(read_text("time,x,timestamp\n1,2,3\n"), 0, "line 1, column 3: a second column");
    assert_read(read_with_time("time,symbol,timestamp,stock\n1,a,3,b\n", "3"),
                1); /* who is asked for is there once */
}

static void lines_are_as_rfc_4180_has_them(void **state)
{
    (void)state;
    struct reading reading = read_text("1,\"a, \"\"b\"\"\"\r\n\r\n2,c\r\n  \n3,\"\"\n\n\n");
    assert_read(reading, 3);
    assert_string_equal(reading.last, "3,\"\"");
    assert_read(read_text("price\n5\n6"), 2);
    assert_refused(read_text("1,a\n2\n"), 1,
                   "line 2: its number of columns is 1, that of the lines before it 2");
    assert_refused(read_text("1,a\n2,b\"c\"\n"), 1, "line 2, column 2: a quote within");
    assert_refused(read_text("1,a\n2,\"b\n3,c\n"), 1, "line 2, column 2: its quote does not end");
    assert_refused(read_text("1,a\n2,\"\n3,c\n"), 1, "line 2, column 2: its quote does not end");
    assert_refused(read_text("1,a\n2,\"b\"\"\n3,c\n"), 1, "line 2, column 2: its quote does not end");
    assert_refused(read_text("1,a\n2,\"b\"x\n"), 1, "line 2, column 2: something behind");
    assert_refused(read_text("1,a\r2,b\r"), 0, "line 1, column 2: a carriage return");
    assert_refused(read_text("1,a\n2,\x1b[31m\n"), 1, "line 2, column 2: a control character");
    assert_refused(read_text("1,a\n2,\"\x1b\"\n"), 1, "line 2, column 2: a control character");
}

static void what_is_no_feed_is_refused(void **state)
{
    (void)state;
    static const char zero[] = "1,a\n2,b\0c\n3,d\n";
    assert_refused(read_wish(zero, sizeof zero - 1, (struct feed_wish){0}), 1,
                   "line 2, column 2: a zero byte");
    static const char marked[] = "\xff\xfe"
                                 "1\0,\0002\0\n\0",
                      little[] = "1\0,\0002\0\n\0", big[] = "\0001\0,\0002\0\n";
    assert_refused(read_wish(marked, sizeof marked - 1, (struct feed_wish){0}), 0, "UTF-16");
    assert_refused(read_wish(little, sizeof little - 1, (struct feed_wish){0}), 0,
                   "line 1, column 1: a zero byte");
    assert_refused(read_wish(big, sizeof big - 1, (struct feed_wish){0}), 0, "byte 0: ");
    assert_refused(read_text(""), 0, "it is empty");
    assert_refused(read_text("\n\n \n"), 0, "nothing in it but blank lines");
    assert_refused(read_text("time,price\n\n"), 0, "nothing behind its heading");
    assert_refused(read_text("root:x:0:0:root:/root:/bin/bash\nbin:x:2:2:bin:/bin:/usr/sbin/nologin\n"), 0,
                   "line 2: no feed");
    assert_refused(read_text("time;price\n1.5;2\n"), 0, "line 2: its columns are not separated by commas");
    assert_refused(read_text("1.5\t2\n2.5\t3\n"), 0, "line 2: its columns are not separated by commas");
    assert_refused(read_text("\x28\xb5\x2f\xfd...."), 0, "zstd");
    struct error_text text = {{0}};
    struct feed *feed;
    assert_int_equal(feed_open("/tmp", (struct feed_wish){0}, &feed, &text), HERMES_EMALFORMED);
    assert_string_equal(text.bytes, "it is a directory");
    assert_int_equal(feed_open("/nonexistent", (struct feed_wish){0}, &feed, &text), HERMES_ENOTFOUND);
    assert_string_equal(text.bytes, "it cannot be opened: No such file or directory");
}

/* A line of so many bytes, and one behind it. */
static struct reading read_long(size_t bytes, const char *end)
{
    char *text = malloc(bytes + 8);
    memset(text, '7', bytes);
    strcpy(text + bytes, end);
    struct reading reading = read_text(text);
    free(text);
    return reading;
}

static void a_line_is_as_long_as_a_message(void **state)
{
    (void)state;
    assert_read(read_long(65536, "\n8\n"), 2);
    assert_read(read_long(65536, "\r\n8\n"), 2);
    assert_read(read_long(65536, ""), 1);
    assert_refused(read_long(65537, "\n8\n"), 0, "line 1: more than 65,536 bytes");
    assert_refused(read_long(65537, ""), 0, "line 1: more than 65,536 bytes");
    assert_refused(read_long(10000000, "\n"), 0, "line 1: more than 65,536 bytes");
    char *commas = malloc(3000);
    memset(commas, ',', 2999);
    commas[2999] = 0;
    assert_refused(read_text(commas), 0, "line 1: more than 1024 columns");
    free(commas);
}

/* 1,000 lines, compressed; their number is returned. */
static size_t compress_lines(uint8_t *to, size_t room)
{
    char lines[16000];
    size_t used = 0;
    for (int i = 0; i < 1000; i++)
        used += (size_t)snprintf(lines + used, sizeof lines - used, "%d.5,%d\n", i, i * 7919 % 1000);
    z_stream z = {
        .next_in = (uint8_t *)lines, .avail_in = (unsigned)used, .next_out = to, .avail_out = (unsigned)room};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t length = z.total_out;
    deflateEnd(&z);
    return length;
}

static void damaged_gzip_gives_whole_lines_alone(void **state)
{
    (void)state;
    uint8_t bytes[20000];
    size_t length = compress_lines(bytes, sizeof bytes / 2);
    assert_read(read_wish(bytes, length, (struct feed_wish){0}), 1000);
    for (size_t cut = 3; cut < length; cut += 97) {
        struct reading reading = read_wish(bytes, cut, (struct feed_wish){0});
        assert_int_equal(reading.rc, HERMES_EMALFORMED);
        assert_non_null(strstr(reading.text.bytes, "end too early"));
        if (reading.records > 0) {
            size_t last = reading.records - 1;
            char whole[64];
            snprintf(whole, sizeof whole, "%zu.5,%zu", last, last * 7919 % 1000);
            assert_string_equal(reading.last, whole);
        }
    }
    bytes[length - 8] ^= 1; /* the checksum */
    assert_refused(read_wish(bytes, length, (struct feed_wish){0}), 1000, "damaged");
    bytes[length - 8] ^= 1;
    memcpy(bytes + length, bytes, length); /* two members, and the zeros of a tape */
    memset(bytes + 2 * length, 0, 100);
    struct reading twice = read_wish(bytes, 2 * length + 100, (struct feed_wish){0});
    assert_read(twice, 2000);
    bytes[2 * length + 50] = 'x';
    assert_refused(read_wish(bytes, 2 * length + 100, (struct feed_wish){0}), 2000, "damaged");
}

static void a_file_is_read_as_far_as_it_went(void **state)
{
    (void)state;
    struct reading reading = {0};
    struct feed *feed;
    write_file("1,a\n2,b\n", 8, O_TRUNC);
    assert_int_equal(feed_open(file, (struct feed_wish){0}, &feed, &reading.text), 0);
    write_file("3,c\n", 4, O_APPEND);
    read_feed(feed, &reading);
    feed_close(feed);
    assert_read(reading, 2);

    reading.records = 0; /* half of its last line was there */
    write_file("1,a\n2,b", 7, O_TRUNC);
    assert_int_equal(feed_open(file, (struct feed_wish){0}, &feed, &reading.text), 0);
    write_file("cde\n", 4, O_APPEND);
    read_feed(feed, &reading);
    feed_close(feed);
    assert_refused(reading, 1, "line 2: the file grows");
}

static void a_file_that_becomes_shorter_is_told(void **state)
{
    (void)state;
    struct reading reading = {0};
    struct feed *feed;
    char *lines = malloc(400000);
    for (int i = 0; i < 100000; i++)
        memcpy(lines + 4 * i, "1,a\n", 4);
    write_file(lines, 400000, O_TRUNC);
    free(lines);
    assert_int_equal(feed_open(file, (struct feed_wish){0}, &feed, &reading.text), 0);
    write_file("", 0, O_TRUNC);
    read_feed(feed, &reading);
    feed_close(feed);
    assert_refused(reading, reading.records, "became shorter");
    assert_string_equal(reading.last, "1,a");
}

/* ---- ITCH ---- */

/* A message with its length, of a stock, at a time; returns what it takes. */
static size_t put_message(uint8_t *to, uint8_t type, size_t length, uint8_t stock, size_t name_at,
                          const char *name)
{
    memset(to, 0, length + 2);
    to[1] = (uint8_t)length;
    to[2] = type;
    to[4] = stock;
    to[2 + 10] = stock; /* nanoseconds */
    if (name != NULL)
        memcpy(to + 2 + name_at, name, 8);
    return length + 2;
}

static void messages_of_itch_are_checked(void **state)
{
    (void)state;
    uint8_t bytes[256];
    size_t first = put_message(bytes, 'S', 12, 0, 0, NULL);
    size_t both = first + put_message(bytes + first, 'D', 19, 7, 0, NULL);
    struct reading reading = read_wish(bytes, both, (struct feed_wish){0});
    assert_read(reading, 2);
    assert_int_equal(reading.times_ns[1], 7);
    bytes[first + 1] = 0; /* the type tells the length */
    assert_read(read_wish(bytes, both, (struct feed_wish){0}), 2);
    memset(bytes + both, 0, 2); /* the end of a session */
    assert_read(read_wish(bytes, both + 2, (struct feed_wish){0}), 2);
    for (size_t cut = first + 1; cut < both; cut++) {
        if (cut == first + 2)
            continue; /* looks like the end of a session */
        assert_refused(read_wish(bytes, cut, (struct feed_wish){0}), 1,
                       "byte 14: an ITCH message is cut short");
    }
    bytes[first + 1] = 20;
    assert_refused(read_wish(bytes, both, (struct feed_wish){0}), 1,
                   "byte 14: a message of type 'D' has 19 bytes, and its length says 20");
    bytes[first + 1] = 19;
    bytes[first + 2] = 'z';
    assert_refused(read_wish(bytes, both, (struct feed_wish){0}), 1,
                   "byte 14: ITCH 5.0 has no message of type 'z'");
    bytes[first + 2] = 'D';
    memset(bytes + first + 7, 0xff, 6);
    assert_refused(read_wish(bytes, both, (struct feed_wish){0}), 1, "byte 14: its time, 281474976710655 ns");
    size_t order = put_message(bytes, 'A', 36, 1, 24, "HRMS    ");
    assert_refused(read_wish(bytes, order, (struct feed_wish){0}), 0,
                   "byte 0: an order that neither buys nor sells");
}

static void a_symbol_is_what_is_of_it(void **state)
{
    (void)state;
    uint8_t bytes[512];
    size_t n = put_message(bytes, 'S', 12, 0, 0, NULL);
    n += put_message(bytes + n, 'R', 39, 1, 11, "HRMS    ");
    n += put_message(bytes + n, 'R', 39, 2, 11, "HRMSX   ");
    n += put_message(bytes + n, 'D', 19, 1, 0, NULL);
    n += put_message(bytes + n, 'D', 19, 2, 0, NULL);
    n += put_message(bytes + n, 'Q', 40, 2, 19, "HRMSX   ");
    assert_read(read_wish(bytes, n, (struct feed_wish){.symbol = "HRMS"}), 3);
    assert_read(read_wish(bytes, n, (struct feed_wish){.symbol = "HRMSX"}), 4);
    assert_refused(read_wish(bytes, n, (struct feed_wish){.symbol = "HRM"}), 1, "nothing in it is of HRM");
    static const char text[] = "symbol,price\nA,1\nB,2\nA,3\n", other[] = "price\n1\n";
    struct reading reading = read_wish(text, sizeof text - 1, (struct feed_wish){.symbol = "A"});
    assert_read(reading, 2);
    assert_string_equal(reading.last, "A,3");
    assert_refused(read_wish(text, sizeof text - 1, (struct feed_wish){.symbol = "C"}), 0,
                   "nothing in it is of C");
    assert_refused(read_wish(other, sizeof other - 1, (struct feed_wish){.symbol = "A"}), 0,
                   "line 1: no heading with a column symbol");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_found),
        cmocka_unit_test(what_is_no_time_is_refused_where_it_stands),
        cmocka_unit_test(lines_are_as_rfc_4180_has_them),
        cmocka_unit_test(what_is_no_feed_is_refused),
        cmocka_unit_test(a_line_is_as_long_as_a_message),
        cmocka_unit_test(damaged_gzip_gives_whole_lines_alone),
        cmocka_unit_test(a_file_is_read_as_far_as_it_went),
        cmocka_unit_test(a_file_that_becomes_shorter_is_told),
        cmocka_unit_test(messages_of_itch_are_checked),
        cmocka_unit_test(a_symbol_is_what_is_of_it),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
