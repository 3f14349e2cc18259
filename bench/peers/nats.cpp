// NATS: a nats-server in memory, and one with JetStream in files, each with its default set-up but for what a slow
// subscriber may have pending. Its protocol is lines of text; this client of it does no more than it must, and writes
// and reads many messages at a time, as NATS' own clients do.
#include "net.hpp"

static int port;
static bool stores;

// One connection. Its server answers PING by PONG; what comes before that was there.
struct connection {
    int fd = net::connect_to(port);
    std::vector<char> in = std::vector<char>(256 * 1024);
    size_t from = 0, to = 0;

    connection()
    {
        send("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":false}\r\n");
    }
    ~connection() { close(fd); }
    void send(const std::string &text) const { send(text.data(), text.size()); }
    void send(const char *bytes, size_t count) const
    {
        while (count > 0) {
            ssize_t gone = ::send(fd, bytes, count, MSG_NOSIGNAL);
            if (gone <= 0)
                net::die("the server hung up");
            bytes += gone;
            count -= size_t(gone);
        }
    }
    // false: nothing has come.
    bool receive(bool waits)
    {
        if (from > 0)
            memmove(in.data(), in.data() + from, to - from);
        to -= from;
        from = 0;
        if (to == in.size())
            in.resize(2 * in.size());
        ssize_t got = recv(fd, in.data() + to, in.size() - to, waits ? 0 : MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            net::die("the server hung up");
        to += got > 0 ? size_t(got) : 0;
        return got > 0;
    }
    // One line and its payload, if it is all there.
    bool next(char **line, size_t *length, char **payload, size_t *bytes)
    {
        char *begin = in.data() + from;
        auto *end = static_cast<char *>(memchr(begin, '\n', to - from));
        if (end == nullptr)
            return false;
        *line = begin;
        *length = size_t(end - begin);
        *bytes = 0;
        size_t used = *length + 1;
        if (begin[0] == 'M' || begin[0] == 'H') { // MSG subject sid [reply] bytes
            char *digits = end - 1;
            while (digits[-1] != ' ')
                digits--;
            *bytes = strtoul(digits, nullptr, 10);
            used += *bytes + 2;
        }
        if (to - from < used)
            return false;
        *payload = end + 1;
        from += used;
        return true;
    }
    // Until the server has taken in all that was sent.
    void round_trip()
    {
        send("PING\r\n");
        for (;;) {
            char *line, *payload;
            size_t length, bytes;
            while (!next(&line, &length, &payload, &bytes))
                receive(true);
            if (memcmp(line, "PONG", 4) == 0)
                return;
            if (line[0] == '-')
                net::die(std::string(line, length));
        }
    }
    // JetStream is asked by messages.
    void request(const std::string &subject, const std::string &json)
    {
        send("SUB _INBOX.request 999\r\nPUB " + subject + " _INBOX.request " + std::to_string(json.size()) + "\r\n" + json +
             "\r\n");
        for (;;) {
            char *line, *payload;
            size_t length, bytes;
            while (!next(&line, &length, &payload, &bytes))
                receive(true);
            if (line[0] != 'M')
                continue;
            std::string answer(payload, bytes);
            if (answer.find("\"error\"") != std::string::npos)
                net::die(answer);
            send("UNSUB 999\r\n");
            return;
        }
    }
};

struct nats_publisher : net::publisher {
    enum { FLUSH_BYTES = 32 * 1024, MOST_UNACKNOWLEDGED = 4000 };
    connection c;
    std::string head, out, topic;
    size_t size = 0;
    uint64_t sent = 0, acknowledged = 0;

    explicit nats_publisher(const std::string &subject) : topic(subject)
    {
        if (stores)
            c.send("SUB _INBOX.acks 1\r\n");
        c.round_trip();
    }
    void publish(const void *bytes, size_t count) override
    {
        if (count != size) {
            size = count;
            head = "PUB " + topic + (stores ? " _INBOX.acks " : " ") + std::to_string(count) + "\r\n";
        }
        out += head;
        out.append(static_cast<const char *>(bytes), count);
        out += "\r\n";
        sent++;
        if (out.size() >= FLUSH_BYTES)
            flush();
        if (stores)
            take_acknowledgements(MOST_UNACKNOWLEDGED);
    }
    void flush() override
    {
        c.send(out.data(), out.size());
        out.clear();
    }
    void finish() override
    {
        flush();
        if (stores)
            take_acknowledgements(0);
        else
            c.round_trip();
    }
    // As its clients publish to JetStream: so many are under way.
    void take_acknowledgements(uint64_t most)
    {
        char *line, *payload;
        size_t length, bytes;
        for (;;) {
            while (c.next(&line, &length, &payload, &bytes))
                acknowledged += line[0] == 'M';
            if (sent - acknowledged <= most)
                return;
            flush();
            c.receive(true);
        }
    }
};

struct nats_subscriber : net::subscriber {
    connection c;

    explicit nats_subscriber(const std::string &topic)
    {
        if (stores) {
            c.request("$JS.API.STREAM.CREATE." + topic,
                      "{\"name\":\"" + topic + "\",\"subjects\":[\"" + topic + "\"],\"storage\":\"file\"}");
            c.send("SUB _INBOX." + topic + " 1\r\n");
            c.request("$JS.API.CONSUMER.CREATE." + topic,
                      "{\"stream_name\":\"" + topic + "\",\"config\":{\"deliver_subject\":\"_INBOX." + topic +
                          "\",\"ack_policy\":\"none\",\"deliver_policy\":\"all\"}}");
        } else {
            c.send("SUB " + topic + " 1\r\n");
        }
        c.round_trip();
    }
    int fd() override { return c.fd; }
    void take()
    {
        char *line, *payload;
        size_t length, bytes;
        while (c.next(&line, &length, &payload, &bytes))
            if (line[0] == 'M')
                got(payload, bytes);
            else if (line[0] == 'P')
                c.send("PONG\r\n");
            else if (line[0] == '-')
                net::die(std::string(line, length));
    }
    void wait() override
    {
        c.receive(true);
        take();
    }
    void read_what_is_there() override
    {
        if (c.receive(false))
            take();
    }
};

static pid_t start_server(const net::directory &home)
{
    port = net::free_port();
    std::string path = home.path + "/nats.conf";
    FILE *file = fopen(path.c_str(), "we");
    fprintf(file, "listen: \"127.0.0.1:%d\"\nmax_pending: 1GB\nwrite_deadline: \"60s\"\n", port);
    if (stores)
        fprintf(file, "jetstream { store_dir: \"%s\" }\n", home.path.c_str());
    fclose(file);
    return net::start({"nats-server", "-c", path, "-l", home.path + "/log"});
}

static void measure(const char *name)
{
    net::directory home;
    const pid_t server = start_server(home);
    net::peer p{name, server};
    p.publish = [](const std::string &topic, unsigned) { return std::make_unique<nats_publisher>(topic); };
    p.subscribe = [](const std::string &topic) { return std::make_unique<nats_subscriber>(topic); };
    if (stores) {
        net::add_one_way(p, "one way, batched, stored", 10);
    } else {
        net::add_one_way(p, "one way, batched", 1);
        net::add_to_all(p, 1);
        net::add_round_trips(p);
    }
    net::stop(p.broker);
}

int main()
{
    net::raise_descriptor_limit();
    printf("{\"results\":[\n");
    measure("nats");
    stores = true;
    measure("nats jetstream");
    printf("]}\n");
    return 0;
}
