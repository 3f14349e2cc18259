--[[
Hermes for Wireshark and tshark: streams over TCP (docs/reference/protocol.md) and mirrors over UDP
(docs/reference/udp.md). Both are known by their first bytes, on any port that Wireshark does not take for another protocol's.

    tshark -X lua_script:hermes.lua -r capture.pcap -Y 'hermes.type == 85'     the NAKs
    cp hermes.lua ~/.local/lib/wireshark/plugins/                              for good

Fields are hermes.NAME of the header, hermes.TYPE.NAME of a body: hermes.log.position, hermes.status.window. The
checksum of every message and frame is computed. What is sealed, or within TLS that is not decrypted, is shown as
far as it can be read.
]]

local HEADER_BYTES, EXTENSION_BYTES, TAG_BYTES, SLOT_BYTES = 32, 16, 16, 64
local MAGIC = 0x4D524548
local FLAG_CRC = 1
local FIRST_DATAGRAM, LAST_DATAGRAM, DATA_DATAGRAM = 80, 88, 83

local hermes = Proto("hermes", "Hermes")

-- Bodies: NAME:BYTES, little-endian; NAME:sBYTES a string, NAME:iBYTES signed, NAME:xBYTES bytes; "-" is reserved. `each`: what
-- follows, as often as there is room or as the field `times` says. `frames`: frames of a log are behind that.
local TOPIC_INFO = "topic:s128 topic_id:8 durability:4 shared:4 window_bytes:8 segment_bytes:8 first_position:8 committed_position:8 "
    .. "persisted_position:8 durable_position:8 last_sequence:8 epoch:4 publishers:4 subscribers:4 state:4 refused:8 corrupt:8 "
    .. "keep_bytes:8 keep_ns:8 full_waits:4 full:4 push_back:4 waited_for:4"
local PUBLISHER_OPEN = "topic:s128 resume_topic_id:8 resume_epoch:4 resume_ring:4 resume_ring_id:8 next_sequence:8"
local SUBSCRIBER_OPEN = "topic:s128 group:s128 durable:4 from:4 resume_page:8 resume_member:8 resume_line:4 push_back:4 "
    .. "resume_reader:8 resume_reader_line:4 resume_group:4"
local GROUP = "topic:s128 group:s128 dead_letter:s128 durable:4 fields:4 lease_ns:8 max_deliveries:4 from:4 position:8 span_bytes:8"
local GROUP_INFO = "group:s128 dead_letter:s128 durable:4 uid:4 members:4 max_deliveries:4 lease_ns:8 span_bytes:8 position:8 "
    .. "done_position:8 last_sequence:8 in_flight:8 redelivered:8 expired:8 dead:8 lost:8"
local MIRROR_INFO = "topic:s128 url:s128 role:4 state:4 error:i4 receivers:4 position:8 lag_bytes:8 rtt_ns:8 datagrams:8 bytes:8 lost:8 "
    .. "repaired:8 gone:8 duplicates:8 naks:8 overruns:8 refused:8"
local CLAIMS = "position:8 sequence:8 length:4 claim:2 -:2"
local HEARD = "heard_number:8 echo_ns:8 delay_ns:8"

local layouts = {
    [0] = {"PAD"},
    [1] = {"DATA"},
    [2] = {"HEARTBEAT"},
    [4] = {"ORIGIN"},
    [16] = {"HELLO", "protocol:2 -:6 name:s64"},
    [17] = {"WELCOME", "protocol:2 capabilities:2 instance:4 payload_max:4 topics_max:4 publishers_max:4 pid:4"},
    [18] = {"ERROR", "code:i4 text:s252"},
    [19] = {"OK"},
    [20] = {"TOPIC_CREATE", "topic:s128 durability:4 shared:4 window_bytes:8 segment_bytes:8 keep_bytes:8 keep_ns:8 full_waits:4 push_back:4"},
    [21] = {"TOPIC_DELETE", "topic:s128"},
    [22] = {"TOPIC_LIST", "after:s128"},
    [23] = {"TOPIC_DESCRIBE", "topic:s128"},
    [24] = {"TOPICS", "count:4 more:4", each = TOPIC_INFO},
    [25] = {"PUBLISHER_OPEN", PUBLISHER_OPEN},
    [26] = {"PUBLISHER", "handle:4 kind:4 topic_id:8 epoch:4 line:4 ring_id:8 position:8 sequence:8 durability:4 resumed:4 push_back:4 "
        .. "told_line:4 told_generation:8"},
    [27] = {"PUBLISHER_MAPPED", "handle:4 -:4"},
    [28] = {"CLOSE", "handle:4 -:4"},
    [29] = {"SUBSCRIBER_OPEN", SUBSCRIBER_OPEN},
    [30] = {"SUBSCRIBER", "handle:4 durability:4 topic_id:8 page:8 member:8 line:4 reader_line:4 reader:8 told_line:4 -:4 told_generation:8"},
    [31] = {"WINDOW_OPEN", "topic_id:8 epoch:4 -:4"},
    [32] = {"SEGMENT_OPEN", "topic_id:8 key:4 -:4 value:8"},
    [33] = {"PING"},
    [34] = {"TOPIC_ALTER", "topic:s128 fields:4 full_waits:4 keep_bytes:8 keep_ns:8"},
    [35] = {"PLACE", "position:8 sequence:8 indexed:4 -:4"},
    [36] = {"GROUP_CREATE", GROUP},
    [37] = {"GROUP_ALTER", GROUP},
    [38] = {"GROUP_DELETE", GROUP},
    [39] = {"GROUP_LIST", "topic:s128 after:s128 exact:4 -:4"},
    [40] = {"GROUPS", "count:4 more:4", each = GROUP_INFO},
    [41] = {"EPOCH_FIND", "topic_id:8 epoch:4 -:4"},
    [42] = {"EPOCH", "epoch:4 why:4 first_position:8 first_sequence:8 end_position:8 end_sequence:8"},
    [43] = {"BROKER_DESCRIBE"},
    [44] = {"BROKER", "engine:s16 instance:4 pid:4 uid:4 membarrier:4 sessions:4 topics:4 uptime_ns:8 longest_turn_ns:8 notes_lost:8 "
        .. "longest_own_ns:8 blocked_turns:8 version:s16 memory:s128"},
    [45] = {"FORGET", "request:8"},
    [46] = {"UNSERVED_LIST", "after:s128"},
    [47] = {"TOPIC_PURGE", "topic:s128"},
    [48] = {"AUTHENTICATE", "token:x64"},
    [49] = {"MIRROR_ADD", "topic:s128 url:s128 role:4 -:4"},
    [50] = {"MIRROR_REMOVE", "topic:s128 url:s128"},
    [51] = {"MIRROR_LIST"},
    [55] = {"INVITE"},
    [56] = {"INVITATION", "name:x32 shown:x32 said:x32 path:s108 -:4"},
    [57] = {"SHOW", "name:x32"},
    [58] = {"ENTER", "name:x32 said:x32"},
    [52] = {"MIRRORS", "count:4 more:4", each = MIRROR_INFO},
    [53] = {"MIRROR_KEY", "topic:s128"},
    [54] = {"MIRROR_GRANT", "topic_id:8 lasts_ns:8 url:s128 secret:x32 id:2 member:2 -:4"},
    [64] = {"OUTLET_OPEN", "topic:s128 topic_id:8 from:4 push_back:4 value:8 credit:8"},
    [65] = {"OUTLET", "handle:4 durability:4 topic_id:8 position:8 sequence:8 epoch:4 shared:4"},
    [66] = {"INTAKE_OPEN", PUBLISHER_OPEN},
    [67] = {"INTAKE", "handle:4 durability:4 topic_id:8 epoch:4 line:4 ring_id:8 sequence:8 resumed:4 shared:4 credit:8"},
    [68] = {"LOG", "epoch:4 -:4 position:8 sequence:8 end:8", frames = true},
    [69] = {"CREDIT", "bytes:8"},
    [70] = {"PUBLISH", "", frames = true},
    [71] = {"CONFIRM", "committed:8 durable:8 position:8 credit:8"},
    [72] = {"END", "code:i4 -:4 position:8 text:s240"},
    [73] = {"MEMBER_OPEN", SUBSCRIBER_OPEN .. " topic_id:8 credit:8 at_most_once:4 -:4"},
    [74] = {"MEMBER", "handle:4 durability:4 topic_id:8 position:8 epoch:4 shared:4 page:8 member:8 line:4 group:4 claim:4 -:4"},
    [75] = {"GIVEN", "epoch:4 count:4 end:8 lost:8 why:i4 -:4", each = "position:8 claim:2 deliveries:2 -:4", times = "count", frames = true},
    [76] = {"ACK", "", each = CLAIMS},
    [77] = {"NACK", "", each = CLAIMS},
    [78] = {"RENEW", "", each = CLAIMS},
    [79] = {"SETTLED", "settled:8 refused:4 -:4", each = "number:8 position:8 code:i4 -:4"},
    [80] = {"JOIN", "protocol:2 -:2 epoch:4 topic_id:8 nonce:8 cookie:8 tag:8 window:8 -:32"},
    [81] = {"CHALLENGE", "nonce:8 cookie:8"},
    [82] = {"SETUP", "protocol:2 slice:2 epoch:4 topic_id:8 nonce:8 incarnation:8 first_position:8 start:8 epoch_position:8 rtt_ns:4 "
        .. "rtt_variation_ns:4 receivers:4 -:4"},
    [83] = {"MIRROR_DATA", ""},
    [84] = {"MIRROR_HEARTBEAT", "rtt_ns:4 rtt_variation_ns:4 receivers:4 state:4"},
    [85] = {"NAK", HEARD, each = "position:8 bytes:8"},
    [86] = {"STATUS", HEARD .. " window:8 received_bytes:8 missed_bytes:8 flags:4 -:4"},
    [87] = {"GONE", "asked_position:8"},
    [88] = {"UNKNOWN"},
}

-- Fields

local names = {}
for kind, layout in pairs(layouts) do
    names[kind] = layout[1]
end

local header = {
    magic = ProtoField.uint32("hermes.magic", "Magic", base.HEX),
    version = ProtoField.uint8("hermes.version", "Version"),
    type = ProtoField.uint8("hermes.type", "Type", base.DEC, names),
    flags = ProtoField.uint16("hermes.flags", "Flags", base.HEX, {[0] = "none", [FLAG_CRC] = "CRC"}),
    sequence = ProtoField.uint64("hermes.sequence", "Sequence"),
    timestamp = ProtoField.uint64("hermes.timestamp", "Timestamp, ns"),
    length = ProtoField.uint32("hermes.length", "Length"),
    crc = ProtoField.uint32("hermes.crc", "CRC", base.HEX),
    number = ProtoField.uint64("hermes.number", "Number"),
    session = ProtoField.uint32("hermes.session", "Session", base.HEX),
    receiver = ProtoField.uint32("hermes.receiver", "Receiver", base.HEX),
    secret = ProtoField.uint16("hermes.seal.id", "Secret"),
    member = ProtoField.uint16("hermes.seal.member", "Member"),
    cipher = ProtoField.bytes("hermes.seal.cipher", "Cipher text"),
    tag = ProtoField.bytes("hermes.seal.tag", "Tag"),
    payload = ProtoField.bytes("hermes.payload", "Payload"),
    frame = ProtoField.bytes("hermes.frame", "Frame"),
}

local fields, all = {}, {}
for _, field in pairs(header) do
    all[#all + 1] = field
end

local constructors = {[""] = ProtoField.uint64, i = ProtoField.int32, s = ProtoField.stringz, x = ProtoField.bytes}

-- Parses a layout once: a list of name, sort, bytes, field.
local function parse(kind, layout)
    local parsed, bytes = {}, 0
    for name, sort, size in layout:gmatch("([%w_-]+):([isx]?)(%d+)") do
        local entry = {name = name, sort = sort, bytes = tonumber(size)}
        local path = "hermes." .. names[kind]:lower() .. "." .. name
        if name ~= "-" and not fields[path] then
            fields[path] = constructors[sort](path, (name:gsub("_", " ")))
            all[#all + 1] = fields[path]
        end
        entry.field = fields[path]
        parsed[#parsed + 1] = entry
        bytes = bytes + entry.bytes
    end
    parsed.bytes = bytes
    return parsed
end

for kind, layout in pairs(layouts) do
    layout.body = parse(kind, layout[2] or "")
    layout.entry = layout.each and parse(kind, layout.each)
end
hermes.fields = all

local damaged = ProtoExpert.new("hermes.crc.bad", "The checksum is wrong", expert.group.CHECKSUM, expert.severity.ERROR)
local cut = ProtoExpert.new("hermes.malformed", "Shorter than its type says", expert.group.MALFORMED, expert.severity.ERROR)
hermes.experts = {damaged, cut}

-- CRC-32 (IEEE 802.3)

local bits = bit or bit32
local crc_table = {}
for i = 0, 255 do
    local value = i
    for _ = 1, 8 do
        local low = bits.band(value, 1)
        value = bits.rshift(value, 1)
        if low == 1 then
            value = bits.bxor(value, 0xEDB88320)
        end
    end
    crc_table[i] = value
end

local function crc_over(value, text)
    for i = 1, #text do
        value = bits.bxor(crc_table[bits.band(bits.bxor(value, text:byte(i)), 255)], bits.rshift(value, 8))
    end
    return value
end

-- Of a message with so many bytes of payload: those first, then the header.
local function crc_is_good(buffer, length)
    local value = crc_over(crc_over(bits.bnot(0), buffer:raw(HEADER_BYTES, length)), buffer:raw(0, HEADER_BYTES - 4))
    return bits.tobit(bits.bnot(value)) == bits.tobit(buffer(28, 4):le_uint())
end

-- Trees

local function add_header(buffer, tree, sealed)
    tree:add_le(header.magic, buffer(0, 4))
    tree:add_le(header.version, buffer(4, 1))
    tree:add_le(header.type, buffer(5, 1))
    tree:add_le(header.flags, buffer(6, 2))
    tree:add_le(header.sequence, buffer(8, 8))
    tree:add_le(header.timestamp, buffer(16, 8))
    local length = buffer(24, 4):le_uint()
    tree:add_le(header.length, buffer(24, 4))
    if sealed then
        tree:add_le(header.secret, buffer(28, 2))
        tree:add_le(header.member, buffer(30, 2))
        return
    end
    local item = tree:add_le(header.crc, buffer(28, 4))
    local has_crc = bits.band(buffer(6, 2):le_uint(), FLAG_CRC) ~= 0
    if has_crc and buffer:len() >= HEADER_BYTES + length and not crc_is_good(buffer, length) then
        item:add_proto_expert_info(damaged)
    end
end

-- Adds the fields of a parsed layout. Returns the values of those that are numbers of up to four bytes.
local function add_layout(parsed, buffer, tree)
    local values, at = {}, 0
    for _, entry in ipairs(parsed) do
        local range = buffer(at, entry.bytes)
        if entry.field then
            tree:add_le(entry.field, range)
        end
        if entry.sort == "" and entry.bytes <= 4 then
            values[entry.name] = range:le_uint()
        end
        at = at + entry.bytes
    end
    return values
end

local function is_message(buffer)
    return buffer:len() >= HEADER_BYTES and buffer(0, 4):le_uint() == MAGIC and buffer(4, 1):uint() == 1
end

-- Frames as they stand in a log, one after the other.
local function add_frames(buffer, tree)
    local at = 0
    while at < buffer:len() and is_message(buffer(at):tvb()) do
        local length = buffer(at + 24, 4):le_uint()
        local bytes = math.ceil((HEADER_BYTES + length) / SLOT_BYTES) * SLOT_BYTES
        if at + bytes > buffer:len() then
            return -- of a slice: it goes on in another datagram
        end
        local item = tree:add(header.frame, buffer(at, bytes))
        local name = names[buffer(at + 5, 1):uint()] or "?"
        item:set_text(string.format("%s %s, %d bytes", name, tostring(buffer(at + 8, 8):le_uint64()), length))
        add_header(buffer(at, bytes):tvb(), item, false)
        if length > 0 then
            item:add(header.payload, buffer(at + HEADER_BYTES, length))
        end
        at = at + bytes
    end
end

local function add_entries(layout, buffer, tree, times)
    local at, bytes = 0, layout.entry.bytes
    while at + bytes <= buffer:len() and (times == nil or times > 0) do
        local item = tree:add(hermes, buffer(at, bytes), "Entry")
        add_layout(layout.entry, buffer(at, bytes):tvb(), item)
        at = at + bytes
        times = times and times - 1
    end
    return at
end

local function add_body(kind, buffer, tree)
    local layout = layouts[kind]
    if not layout or buffer:len() < layout.body.bytes then
        if layout then
            tree:add_proto_expert_info(cut)
        end
        return
    end
    local at = layout.body.bytes
    local values = add_layout(layout.body, buffer, tree)
    if layout.entry and at < buffer:len() then
        at = at + add_entries(layout, buffer(at):tvb(), tree, layout.times and values[layout.times])
    end
    if at == buffer:len() then
        return
    end
    local rest = buffer(at):tvb()
    if layout.frames or kind == DATA_DATAGRAM then
        if kind == DATA_DATAGRAM then
            tree:add(header.payload, rest())
        end
        add_frames(rest, tree)
    elseif not layout.entry and layout.body.bytes == 0 then
        tree:add(header.payload, rest())
    end
end

local function add_message(buffer, pinfo, root)
    local kind = buffer(5, 1):uint()
    local length = buffer(24, 4):le_uint()
    local name = names[kind] or ("type " .. kind)
    local tree = root:add(hermes, buffer(), "Hermes, " .. name)
    add_header(buffer, tree, false)
    if length > 0 then
        add_body(kind, buffer(HEADER_BYTES, length):tvb(), tree)
    end
    pinfo.cols.protocol = "Hermes"
    pinfo.cols.info:append(string.format(" [%s %s, %d bytes]", name, tostring(buffer(8, 8):le_uint64()), length))
end

-- Datagrams

local function add_sealed(buffer, tree, body_bytes)
    if body_bytes > 0 then
        tree:add(header.cipher, buffer(HEADER_BYTES + EXTENSION_BYTES, body_bytes))
    end
    tree:add(header.tag, buffer(HEADER_BYTES + EXTENSION_BYTES + body_bytes, TAG_BYTES))
end

local function datagram(buffer, pinfo, root)
    local kind = buffer(5, 1):uint()
    local length = buffer(24, 4):le_uint()
    local sealed = buffer:len() == HEADER_BYTES + length + TAG_BYTES
    local name = names[kind] .. (sealed and ", sealed" or "")
    local tree = root:add(hermes, buffer(), "Hermes mirror, " .. name)
    add_header(buffer, tree, sealed)
    tree:add_le(header.number, buffer(32, 8))
    tree:add_le(header.session, buffer(40, 4))
    tree:add_le(header.receiver, buffer(44, 4))
    local body_bytes = length - EXTENSION_BYTES
    if sealed then
        add_sealed(buffer, tree, body_bytes)
    elseif body_bytes > 0 then
        add_body(kind, buffer(HEADER_BYTES + EXTENSION_BYTES, body_bytes):tvb(), tree)
    end
    pinfo.cols.protocol = "Hermes"
    pinfo.cols.info = string.format("%s, position %s, number %s, %d bytes", name, tostring(buffer(8, 8):le_uint64()),
        tostring(buffer(32, 8):le_uint64()), body_bytes)
end

local function is_datagram(buffer)
    if not is_message(buffer) or buffer:len() < HEADER_BYTES + EXTENSION_BYTES then
        return false
    end
    local kind, length = buffer(5, 1):uint(), buffer(24, 4):le_uint()
    local behind = buffer:len() - HEADER_BYTES - length
    return kind >= FIRST_DATAGRAM and kind <= LAST_DATAGRAM and length >= EXTENSION_BYTES and (behind == 0 or behind == TAG_BYTES)
end

-- Streams

local function message_bytes(buffer, _, offset)
    return HEADER_BYTES + buffer(offset + 24, 4):le_uint()
end

local function one_message(buffer, pinfo, tree)
    if is_message(buffer) then
        add_message(buffer, pinfo, tree)
    end
    return buffer:len()
end

function hermes.dissector(buffer, pinfo, tree)
    if is_datagram(buffer) then
        datagram(buffer, pinfo, tree)
        return buffer:len()
    end
    if buffer:len() >= 4 and buffer(0, 4):le_uint() ~= MAGIC then
        return 0 -- somebody else's, or the capture begins in the middle of a message
    end
    pinfo.cols.info = ""
    return dissect_tcp_pdus(buffer, tree, HEADER_BYTES, message_bytes, one_message)
end

hermes:register_heuristic("udp", function(buffer, pinfo, tree)
    if not is_datagram(buffer) then
        return false
    end
    datagram(buffer, pinfo, tree)
    return true
end)

local function is_stream(buffer, pinfo, tree)
    if not is_message(buffer) then
        return false
    end
    pinfo.conversation = hermes -- what follows may begin in the middle of a message
    hermes.dissector(buffer, pinfo, tree)
    return true
end

hermes:register_heuristic("tcp", is_stream)
DissectorTable.get("tcp.port"):add(7000, hermes) -- which is another protocol's otherwise; on all other ports others are asked first
pcall(hermes.register_heuristic, hermes, "tls", is_stream)
