//! Declarations of `libhermes`, written by hand after `hermes/client.h` and its parts, `hermes/message.h`,
//! `hermes/letter.h` and `hermes/error.h`, which say what each of them does. The test `layout` holds sizes and offsets
//! against those headers.
//!
//! Use the crate `hermes-msg` instead, unless you need what it does not have.
#![no_std]
#![allow(non_camel_case_types)]

use core::ffi::{c_char, c_int, c_uint, c_void};

pub const HERMES_OK: c_int = 0;
pub const HERMES_EINVALID: c_int = -1;
pub const HERMES_ENOMEM: c_int = -2;
pub const HERMES_EIO: c_int = -3;
pub const HERMES_EFULL: c_int = -4;
pub const HERMES_EACCESS: c_int = -5;
pub const HERMES_ENOTFOUND: c_int = -6;
pub const HERMES_EEXISTS: c_int = -7;
pub const HERMES_EBUSY: c_int = -8;
pub const HERMES_EAGAIN: c_int = -9;
pub const HERMES_ETIMEOUT: c_int = -10;
pub const HERMES_ETOOLARGE: c_int = -11;
pub const HERMES_ENAME: c_int = -12;
pub const HERMES_EVERSION: c_int = -13;
pub const HERMES_EMALFORMED: c_int = -14;
pub const HERMES_ECHECKSUM: c_int = -15;
pub const HERMES_ECORRUPT: c_int = -16;
pub const HERMES_EGONE: c_int = -17;
pub const HERMES_EFENCED: c_int = -18;
pub const HERMES_EDISCONNECTED: c_int = -19;
pub const HERMES_EPROTOCOL: c_int = -20;
pub const HERMES_ELIMIT: c_int = -21;
pub const HERMES_ENOTSUP: c_int = -22;
pub const HERMES_ECLOSED: c_int = -23;
pub const HERMES_EINTERRUPTED: c_int = -24;
pub const HERMES_EEXPIRED: c_int = -25;

pub const HERMES_MAGIC: u32 = 0x4D52_4548;
pub const HERMES_VERSION: u8 = 1;
pub const HERMES_HEADER_BYTES: usize = 32;
pub const HERMES_PAYLOAD_MAX: usize = 65536;
pub const HERMES_FLAG_CRC: u16 = 1;
pub const HERMES_TYPE_DATA: u8 = 1;
pub const HERMES_FOREVER: u64 = u64::MAX;

pub const HERMES_DURABILITY_ASYNC: u32 = 0;
pub const HERMES_DURABILITY_SYNC: u32 = 1;
pub const HERMES_DURABILITY_MEMORY: u32 = 2;

pub const HERMES_ALTER_KEEP_BYTES: u32 = 1;
pub const HERMES_ALTER_KEEP_NS: u32 = 2;
pub const HERMES_ALTER_FULL_WAITS: u32 = 4;

pub const HERMES_PUBLISH_NO_CRC: u32 = 1;
pub const HERMES_PUBLISH_NO_WAIT: u32 = 2;

pub const HERMES_FROM_END: u32 = 0;
pub const HERMES_FROM_FIRST: u32 = 1;
pub const HERMES_FROM_POSITION: u32 = 2;

pub const HERMES_MIRROR_SERVES: hermes_mirror_role = 1;
pub const HERMES_MIRROR_FOLLOWS: hermes_mirror_role = 2;
pub const HERMES_MIRRORS_MAX: usize = 64;

pub const HERMES_TOPIC_MIRROR_STARTING: u32 = 0;
pub const HERMES_TOPIC_MIRROR_WAITING: u32 = 1;
pub const HERMES_TOPIC_MIRROR_ACTIVE: u32 = 2;
pub const HERMES_TOPIC_MIRROR_DIVERGED: u32 = 3;
pub const HERMES_TOPIC_MIRROR_FAILED: u32 = 4;

pub const HERMES_ACK_AUTO: u32 = 0;
pub const HERMES_ACK_MANUAL: u32 = 1;
pub const HERMES_ACK_NONE: u32 = 2;

pub const HERMES_GROUP_LEASE: u32 = 1;
pub const HERMES_GROUP_DELIVERIES: u32 = 2;
pub const HERMES_GROUP_POSITION: u32 = 4;

pub const HERMES_SUBSCRIBE_PUSH_BACK: u32 = 1;

pub const HERMES_LETTER_MAGIC: u32 = 0x5254_4C48;
pub const HERMES_LETTER_VERSION: u16 = 1;
pub const HERMES_LETTER_BYTES: usize = 320;
pub const HERMES_LETTER_DELIVERIES: u16 = 1;

/// `enum hermes_mirror_role`
pub type hermes_mirror_role = c_uint;

/// `enum hermes_confirmation`
pub type hermes_confirmation = c_int;
pub const HERMES_COMMITTED: hermes_confirmation = 0;
pub const HERMES_DURABLE: hermes_confirmation = 1;

macro_rules! opaque {
    ($($name:ident),*) => {$(
        #[repr(C)]
        pub struct $name {
            _private: [u8; 0],
            _not_send: core::marker::PhantomData<(*mut u8, core::marker::PhantomPinned)>,
        }
    )*};
}
opaque!(hermes_client_t, hermes_publisher_t, hermes_subscriber_t);

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct hermes_header_t {
    pub magic: u32,
    pub version: u8,
    pub type_: u8,
    pub flags: u16,
    pub sequence: u64,
    pub timestamp: u64,
    pub length: u32,
    pub crc: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct hermes_letter_t {
    pub magic: u32,
    pub version: u16,
    pub reason: u16,
    pub deliveries: u32,
    pub payload_bytes: u32,
    pub topic_id: u64,
    pub position: u64,
    pub sequence: u64,
    pub timestamp: u64,
    pub buried_ns: u64,
    pub reserved: u64,
    pub topic: [u8; 128],
    pub group: [u8; 128],
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct hermes_broker_info_t {
    pub size: usize,
    pub engine: [c_char; 16],
    pub pid: u32,
    pub uid: u32,
    pub sessions: u32,
    pub topics: u32,
    pub uptime_ns: u64,
    pub longest_turn_ns: u64,
    pub notes_lost: u64,
    pub membarrier: u32,
    pub instance: u32,
    pub longest_own_ns: u64,
    pub blocked_turns: u64,
    pub version: [c_char; 16],
    pub memory: [c_char; 128],
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct hermes_message_t {
    pub position: u64,
    pub sequence: u64,
    pub timestamp: u64,
    pub payload: *const c_void,
    pub length: u32,
    pub flags: u16,
    pub claim: u16,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct hermes_slice_t {
    pub data: *const c_void,
    pub length: usize,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct hermes_topic_options_t {
    pub size: usize,
    pub durability: u32,
    pub shared: u32,
    pub window_bytes: u64,
    pub segment_bytes: u64,
    pub keep_bytes: u64,
    pub keep_ns: u64,
    pub full_waits: u32,
    pub push_back: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct hermes_topic_info_t {
    pub size: usize,
    pub name: [c_char; 128],
    pub topic_id: u64,
    pub durability: u32,
    pub shared: u32,
    pub window_bytes: u64,
    pub segment_bytes: u64,
    pub first_position: u64,
    pub committed_position: u64,
    pub persisted_position: u64,
    pub durable_position: u64,
    pub last_sequence: u64,
    pub epoch: u32,
    pub publishers: u32,
    pub subscribers: u32,
    pub failed: u32,
    pub refused: u64,
    pub corrupt: u64,
    pub keep_bytes: u64,
    pub keep_ns: u64,
    pub full_waits: u32,
    pub full: u32,
    pub push_back: u32,
    pub waited_for: u32,
}

/// Without `Debug`: it has a secret.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct hermes_mirror_grant_t {
    pub size: usize,
    pub topic_id: u64,
    pub lasts_ns: u64,
    pub url: [c_char; 128],
    pub secret: [u8; 32],
    pub id: u16,
    pub member: u16,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct hermes_mirror_info_t {
    pub size: usize,
    pub topic: [c_char; 128],
    pub url: [c_char; 128],
    pub role: u32,
    pub state: u32,
    pub error: i32,
    pub receivers: u32,
    pub position: u64,
    pub lag_bytes: u64,
    pub rtt_ns: u64,
    pub datagrams: u64,
    pub bytes: u64,
    pub lost: u64,
    pub repaired: u64,
    pub gone: u64,
    pub duplicates: u64,
    pub naks: u64,
    pub overruns: u64,
    pub refused: u64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct hermes_verification_t {
    pub size: usize,
    pub first_position: u64,
    pub end_position: u64,
    pub messages: u64,
    pub damaged: u64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct hermes_connect_options_t {
    pub size: usize,
    pub tls_ca: *const c_char,
    pub tls_cert: *const c_char,
    pub tls_key: *const c_char,
    pub tls_server_name: *const c_char,
    pub token: *const c_char,
    pub token_file: *const c_char,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct hermes_publisher_options_t {
    pub size: usize,
    pub flags: u32,
    pub reserved: u32,
    pub wait_ns: u64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct hermes_subscriber_counters_t {
    pub size: usize,
    pub position: u64,
    pub lost: u64,
    pub corrupt: u64,
    pub awaits_broker: u64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct hermes_subscriber_options_t {
    pub size: usize,
    pub group: *const c_char,
    pub name: *const c_char,
    pub from: u32,
    pub ack: u32,
    pub flags: u32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct hermes_group_options_t {
    pub size: usize,
    pub lease_ns: u64,
    pub dead_letter: *const c_char,
    pub max_deliveries: u32,
    pub durable: u32,
    pub from: u32,
    pub reserved: u32,
    pub position: u64,
    pub span_bytes: u64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct hermes_group_info_t {
    pub size: usize,
    pub name: [c_char; 128],
    pub dead_letter: [c_char; 128],
    pub durable: u32,
    pub uid: u32,
    pub members: u32,
    pub max_deliveries: u32,
    pub lease_ns: u64,
    pub span_bytes: u64,
    pub position: u64,
    pub done_position: u64,
    pub last_sequence: u64,
    pub in_flight: u64,
    pub redelivered: u64,
    pub expired: u64,
    pub dead: u64,
    pub lost: u64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct hermes_interrupt_t {
    pub ask: Option<unsafe extern "C" fn(context: *mut c_void) -> c_int>,
    pub context: *mut c_void,
}

pub type hermes_damage_t = Option<unsafe extern "C" fn(context: *mut c_void, from: u64, to: u64, error: c_int)>;
pub type hermes_confirmed_t = Option<unsafe extern "C" fn(context: *mut c_void, sequence: u64)>;
pub type hermes_handler_t =
    Option<unsafe extern "C" fn(context: *mut c_void, message: *const hermes_message_t) -> c_int>;

extern "C" {
    pub fn hermes_strerror(error: c_int) -> *const c_char;
    pub fn hermes_error_name(error: c_int) -> *const c_char;

    pub fn hermes_message_encode(
        header: *mut hermes_header_t,
        payload: *const c_void,
        length: usize,
        sequence: u64,
        timestamp: u64,
    ) -> c_int;
    pub fn hermes_message_encode_plain(
        header: *mut hermes_header_t,
        length: usize,
        sequence: u64,
        timestamp: u64,
    ) -> c_int;
    pub fn hermes_message_verify(header: *const hermes_header_t, payload: *const c_void, available: usize) -> c_int;
    pub fn hermes_topic_name_check(name: *const c_char) -> c_int;

    pub fn hermes_connect(url: *const c_char, client: *mut *mut hermes_client_t) -> c_int;
    pub fn hermes_connect_with(
        url: *const c_char,
        options: *const hermes_connect_options_t,
        client: *mut *mut hermes_client_t,
    ) -> c_int;
    pub fn hermes_disconnect(client: *mut hermes_client_t) -> i64;
    pub fn hermes_forget(client: *mut hermes_client_t);
    pub fn hermes_set_interrupt(interrupt: hermes_interrupt_t) -> hermes_interrupt_t;
    pub fn hermes_ping(client: *mut hermes_client_t) -> c_int;
    pub fn hermes_is_connected(client: *mut hermes_client_t) -> c_int;
    pub fn hermes_transport(client: *const hermes_client_t) -> *const c_char;
    pub fn hermes_broker_describe(client: *mut hermes_client_t, info: *mut hermes_broker_info_t) -> c_int;
    pub fn hermes_last_error(client: *const hermes_client_t) -> *const c_char;

    pub fn hermes_topic_create(
        client: *mut hermes_client_t,
        topic: *const c_char,
        options: *const hermes_topic_options_t,
    ) -> c_int;
    pub fn hermes_topic_alter(
        client: *mut hermes_client_t,
        topic: *const c_char,
        fields: u32,
        options: *const hermes_topic_options_t,
    ) -> c_int;
    pub fn hermes_topic_verify(
        client: *mut hermes_client_t,
        topic: *const c_char,
        damage: hermes_damage_t,
        context: *mut c_void,
        result: *mut hermes_verification_t,
    ) -> c_int;
    pub fn hermes_topic_delete(client: *mut hermes_client_t, topic: *const c_char) -> c_int;
    pub fn hermes_topic_purge(client: *mut hermes_client_t, topic: *const c_char) -> c_int;
    pub fn hermes_topic_describe(
        client: *mut hermes_client_t,
        topic: *const c_char,
        info: *mut hermes_topic_info_t,
    ) -> c_int;
    pub fn hermes_topic_list(
        client: *mut hermes_client_t,
        after: *const c_char,
        infos: *mut hermes_topic_info_t,
        count: usize,
    ) -> c_int;
    pub fn hermes_topic_list_unserved(
        client: *mut hermes_client_t,
        after: *const c_char,
        infos: *mut hermes_topic_info_t,
        count: usize,
    ) -> c_int;

    pub fn hermes_mirror_add(
        client: *mut hermes_client_t,
        topic: *const c_char,
        role: hermes_mirror_role,
        url: *const c_char,
    ) -> c_int;
    pub fn hermes_mirror_remove(client: *mut hermes_client_t, topic: *const c_char, url: *const c_char) -> c_int;
    pub fn hermes_mirror_list(client: *mut hermes_client_t, infos: *mut hermes_mirror_info_t, count: usize) -> c_int;
    pub fn hermes_mirror_key(
        client: *mut hermes_client_t,
        topic: *const c_char,
        grant: *mut hermes_mirror_grant_t,
    ) -> c_int;

    pub fn hermes_publisher_open(
        client: *mut hermes_client_t,
        topic: *const c_char,
        options: *const hermes_publisher_options_t,
        publisher: *mut *mut hermes_publisher_t,
    ) -> c_int;
    pub fn hermes_publish(
        publisher: *mut hermes_publisher_t,
        payload: *const c_void,
        length: usize,
        sequence: *mut u64,
    ) -> c_int;
    pub fn hermes_publish_at(
        publisher: *mut hermes_publisher_t,
        timestamp_ns: u64,
        payload: *const c_void,
        length: usize,
        sequence: *mut u64,
    ) -> c_int;
    pub fn hermes_publisher_set_wait(publisher: *mut hermes_publisher_t, wait_ns: u64);
    pub fn hermes_publish_batch(publisher: *mut hermes_publisher_t, slices: *const hermes_slice_t, count: usize)
        -> i64;
    pub fn hermes_publish_batch_at(
        publisher: *mut hermes_publisher_t,
        timestamps_ns: *const u64,
        slices: *const hermes_slice_t,
        count: usize,
    ) -> i64;
    pub fn hermes_claim(publisher: *mut hermes_publisher_t, length: usize, payload: *mut *mut c_void) -> c_int;
    pub fn hermes_commit(publisher: *mut hermes_publisher_t, sequence: *mut u64) -> c_int;
    pub fn hermes_commit_at(publisher: *mut hermes_publisher_t, timestamp_ns: u64, sequence: *mut u64) -> c_int;
    pub fn hermes_abort(publisher: *mut hermes_publisher_t);
    pub fn hermes_publisher_wait(
        publisher: *mut hermes_publisher_t,
        confirmation: hermes_confirmation,
        timeout_ns: u64,
    ) -> c_int;
    pub fn hermes_publisher_wait_for(
        publisher: *mut hermes_publisher_t,
        sequence: u64,
        confirmation: hermes_confirmation,
        timeout_ns: u64,
    ) -> c_int;
    pub fn hermes_publisher_confirmed(publisher: *mut hermes_publisher_t, confirmation: hermes_confirmation) -> u64;
    pub fn hermes_publisher_notify(
        publisher: *mut hermes_publisher_t,
        confirmation: hermes_confirmation,
        handler: hermes_confirmed_t,
        context: *mut c_void,
    );
    pub fn hermes_publisher_poll(publisher: *mut hermes_publisher_t) -> c_int;
    pub fn hermes_publisher_sequence(publisher: *const hermes_publisher_t) -> u64;
    pub fn hermes_publisher_accepted(publisher: *const hermes_publisher_t) -> u64;
    pub fn hermes_publisher_close(publisher: *mut hermes_publisher_t) -> i64;

    pub fn hermes_subscriber_open(
        client: *mut hermes_client_t,
        topic: *const c_char,
        options: *const hermes_subscriber_options_t,
        subscriber: *mut *mut hermes_subscriber_t,
    ) -> c_int;
    pub fn hermes_poll(subscriber: *mut hermes_subscriber_t, message: *mut hermes_message_t) -> c_int;
    pub fn hermes_wait(subscriber: *mut hermes_subscriber_t, message: *mut hermes_message_t, timeout_ns: u64) -> c_int;
    pub fn hermes_subscriber_fd(subscriber: *mut hermes_subscriber_t) -> c_int;
    pub fn hermes_subscriber_arm(subscriber: *mut hermes_subscriber_t) -> c_int;
    pub fn hermes_poll_many(
        subscriber: *mut hermes_subscriber_t,
        most: usize,
        handler: hermes_handler_t,
        context: *mut c_void,
    ) -> i64;
    pub fn hermes_seek_first(subscriber: *mut hermes_subscriber_t) -> c_int;
    pub fn hermes_seek_end(subscriber: *mut hermes_subscriber_t) -> c_int;
    pub fn hermes_seek_sequence(subscriber: *mut hermes_subscriber_t, sequence: u64) -> c_int;
    pub fn hermes_seek_time(subscriber: *mut hermes_subscriber_t, timestamp_ns: u64) -> c_int;
    pub fn hermes_seek_position(subscriber: *mut hermes_subscriber_t, position: u64) -> c_int;
    pub fn hermes_subscriber_set_verify(subscriber: *mut hermes_subscriber_t, on: c_int);
    pub fn hermes_subscriber_set_spin(subscriber: *mut hermes_subscriber_t, spin_ns: u64);
    pub fn hermes_subscriber_describe(
        subscriber: *const hermes_subscriber_t,
        counters: *mut hermes_subscriber_counters_t,
    ) -> c_int;
    pub fn hermes_subscriber_close(subscriber: *mut hermes_subscriber_t);
    pub fn hermes_ack(subscriber: *mut hermes_subscriber_t, message: *const hermes_message_t) -> c_int;
    pub fn hermes_nack(subscriber: *mut hermes_subscriber_t, message: *const hermes_message_t) -> c_int;
    pub fn hermes_renew(subscriber: *mut hermes_subscriber_t, message: *const hermes_message_t) -> c_int;
    pub fn hermes_deliveries(subscriber: *const hermes_subscriber_t, message: *const hermes_message_t) -> c_uint;

    pub fn hermes_group_create(
        client: *mut hermes_client_t,
        topic: *const c_char,
        group: *const c_char,
        options: *const hermes_group_options_t,
    ) -> c_int;
    pub fn hermes_group_alter(
        client: *mut hermes_client_t,
        topic: *const c_char,
        group: *const c_char,
        fields: u32,
        options: *const hermes_group_options_t,
    ) -> c_int;
    pub fn hermes_group_delete(client: *mut hermes_client_t, topic: *const c_char, group: *const c_char) -> c_int;
    pub fn hermes_group_describe(
        client: *mut hermes_client_t,
        topic: *const c_char,
        group: *const c_char,
        info: *mut hermes_group_info_t,
    ) -> c_int;
    pub fn hermes_group_list(
        client: *mut hermes_client_t,
        topic: *const c_char,
        after: *const c_char,
        infos: *mut hermes_group_info_t,
        count: usize,
    ) -> c_int;
}
