//! What the C compiler makes of the headers is what these declarations say: sizes, offsets, constants, and that every
//! public function of client.h and its parts, message.h and error.h is declared.

use hermes_msg_sys::*;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::mem::{offset_of, size_of};
use std::path::Path;
use std::process::Command;

macro_rules! facts {
    (structs { $($type:ident { $($field:ident $(= $c:ident)?),* $(,)? })* } constants { $($constant:ident),* $(,)? }) => {{
        let mut facts: Vec<(String, i128)> = Vec::new();
        $(
            facts.push((format!("sizeof({})", stringify!($type)), size_of::<$type>() as i128));
            $(
                #[allow(unused_mut, unused_assignments)]
                let mut name = stringify!($field);
                $(name = stringify!($c);)?
                facts.push((format!("offsetof({}, {name})", stringify!($type)), offset_of!($type, $field) as i128));
            )*
        )*
        $(facts.push((stringify!($constant).to_string(), $constant as i128));)*
        facts
    }};
}

fn facts() -> Vec<(String, i128)> {
    facts! {
        structs {
            hermes_header_t { magic, version, type_ = type, flags, sequence, timestamp, length, crc }
            hermes_broker_info_t {
                size, engine, pid, uid, sessions, topics, uptime_ns, longest_turn_ns, notes_lost, membarrier, instance,
                longest_own_ns, blocked_turns, version, memory
            }
            hermes_letter_t {
                magic, version, reason, deliveries, payload_bytes, topic_id, position, sequence, timestamp, buried_ns,
                reserved, topic, group
            }
            hermes_message_t { position, sequence, timestamp, payload, length, flags, claim }
            hermes_slice_t { data, length }
            hermes_interrupt_t { ask, context }
            hermes_topic_options_t {
                size, durability, shared, window_bytes, segment_bytes, keep_bytes, keep_ns, full_waits, push_back
            }
            hermes_topic_info_t {
                size, name, topic_id, durability, shared, window_bytes, segment_bytes, first_position,
                committed_position, persisted_position, durable_position, last_sequence, epoch, publishers, subscribers,
                failed, refused, corrupt, keep_bytes, keep_ns, full_waits, full, push_back, waited_for
            }
            hermes_mirror_grant_t { size, topic_id, lasts_ns, url, secret, id, member, reserved }
            hermes_mirror_info_t {
                size, topic, url, role, state, error, receivers, position, lag_bytes, rtt_ns, datagrams, bytes, lost,
                repaired, gone, duplicates, naks, overruns, refused
            }
            hermes_verification_t { size, first_position, end_position, messages, damaged }
            hermes_connect_options_t { size, tls_ca, tls_cert, tls_key, tls_server_name, token, token_file }
            hermes_publisher_options_t { size, flags, reserved, wait_ns }
            hermes_subscriber_options_t { size, group, name, from, ack, flags, reserved }
            hermes_group_options_t {
                size, lease_ns, dead_letter, max_deliveries, durable, from, reserved, position, span_bytes
            }
            hermes_group_info_t {
                size, name, dead_letter, durable, uid, members, max_deliveries, lease_ns, span_bytes, position,
                done_position, last_sequence, in_flight, redelivered, expired, dead, lost
            }
            hermes_subscriber_counters_t { size, position, lost, corrupt, awaits_broker }
        }
        constants {
            HERMES_OK, HERMES_EINVALID, HERMES_ENOMEM, HERMES_EIO, HERMES_EFULL, HERMES_EACCESS, HERMES_ENOTFOUND,
            HERMES_EEXISTS, HERMES_EBUSY, HERMES_EAGAIN, HERMES_ETIMEOUT, HERMES_ETOOLARGE, HERMES_ENAME, HERMES_EVERSION,
            HERMES_EMALFORMED, HERMES_ECHECKSUM, HERMES_ECORRUPT, HERMES_EGONE, HERMES_EFENCED, HERMES_EDISCONNECTED,
            HERMES_EPROTOCOL, HERMES_ELIMIT, HERMES_ENOTSUP, HERMES_ECLOSED, HERMES_EINTERRUPTED, HERMES_EEXPIRED,
            HERMES_MAGIC, HERMES_VERSION, HERMES_HEADER_BYTES, HERMES_PAYLOAD_MAX, HERMES_FLAG_CRC, HERMES_TYPE_DATA,
            HERMES_DURABILITY_MEMORY, HERMES_DURABILITY_ASYNC, HERMES_DURABILITY_SYNC, HERMES_ALTER_KEEP_BYTES,
            HERMES_ALTER_KEEP_NS, HERMES_ALTER_FULL_WAITS, HERMES_PUBLISH_NO_CRC, HERMES_PUBLISH_NO_WAIT,
            HERMES_COMMITTED, HERMES_DURABLE, HERMES_FROM_END, HERMES_FROM_FIRST, HERMES_FROM_POSITION, HERMES_ACK_AUTO,
            HERMES_ACK_MANUAL, HERMES_ACK_NONE, HERMES_GROUP_LEASE, HERMES_GROUP_DELIVERIES, HERMES_GROUP_POSITION,
            HERMES_SUBSCRIBE_PUSH_BACK, HERMES_LETTER_MAGIC, HERMES_LETTER_VERSION, HERMES_LETTER_BYTES,
            HERMES_LETTER_DELIVERIES, HERMES_MIRROR_SERVES, HERMES_MIRROR_FOLLOWS, HERMES_MIRRORS_MAX,
            HERMES_TOPIC_MIRROR_STARTING, HERMES_TOPIC_MIRROR_WAITING, HERMES_TOPIC_MIRROR_ACTIVE,
            HERMES_TOPIC_MIRROR_DIVERGED, HERMES_TOPIC_MIRROR_FAILED,
        }
    }
}

fn include() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("csrc/include")
}

#[test]
fn declarations_agree_with_the_headers() {
    let facts = facts();
    let mut program = String::from(
        "#include <hermes/client.h>\n#include <hermes/letter.h>\n#include <stdio.h>\n#include <stddef.h>\n",
    );
    program.push_str("int main(void)\n{\n");
    for (name, _) in &facts {
        writeln!(program, "    printf(\"%lld %s\\n\", (long long)({name}), \"{name}\");").unwrap();
    }
    program.push_str("    return 0;\n}\n");
    let folder = std::env::temp_dir().join(format!("hermes-layout-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("layout.c"), program).unwrap();
    let host = "x86_64-unknown-linux-gnu";
    let compiler = cc::Build::new().target(host).host(host).opt_level(0).get_compiler();
    let done = Command::new(compiler.path())
        .current_dir(&folder)
        .args(["layout.c", "-o", "layout", "-I"])
        .arg(include())
        .status()
        .unwrap();
    assert!(done.success());
    let output = Command::new(folder.join("layout")).output().unwrap();
    let said: BTreeMap<String, i128> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(value, name)| (name.to_string(), value.parse().unwrap()))
        .collect();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(said.len() > 80);
    for (name, value) in facts {
        assert_eq!(said[&name], value, "{name}");
    }
}

#[test]
fn every_function_is_declared() {
    let declared = include_str!("../src/lib.rs");
    let read = |header: &str| std::fs::read_to_string(include().join("hermes").join(header)).unwrap();
    let client = read("client.h");
    let parts = client.split("#include \"hermes/").skip(1).map(|rest| rest.split('"').next().unwrap());
    let headers: Vec<&str> = parts.filter(|part| *part != "log.h").chain(["error.h"]).collect();
    assert!(headers.contains(&"publisher.h") && headers.contains(&"message.h"));
    for header in headers {
        let text = read(header);
        for part in text.split("HERMES_API ").skip(1) {
            let Some(name) = part.split('(').next().and_then(|head| head.split([' ', '*']).next_back()) else {
                continue;
            };
            if !name.starts_with("hermes_") || name == "hermes_message_restamp" {
                continue; /* that one is for brokers */
            }
            assert!(declared.contains(&format!("fn {name}(")), "{header}: {name}");
        }
    }
}

#[test]
fn the_library_is_there() {
    let text = unsafe { core::ffi::CStr::from_ptr(hermes_error_name(HERMES_EFENCED)) };
    assert_eq!(text.to_str(), Ok("HERMES_EFENCED"));
}
