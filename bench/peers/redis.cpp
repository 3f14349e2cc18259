// Redis Streams: XADD and XREAD, by hiredis, once in memory and once with an append-only file that is synced every
// second. Commands go many at a time (a pipeline), as its users send what need not be answered one by one.
#include "net.hpp"

#include <hiredis/hiredis.h>

static int port;

struct connection {
    redisContext *c;
    connection() : c(redisConnectFd(net::connect_to(port))) {}
    ~connection() { redisFree(c); }
    redisReply *reply() const
    {
        void *came = nullptr;
        if (redisGetReply(c, &came) != REDIS_OK)
            net::die(c->errstr);
        auto *r = static_cast<redisReply *>(came);
        if (r->type == REDIS_REPLY_ERROR)
            net::die(r->str);
        return r;
    }
};

struct redis_publisher : net::publisher {
    enum { PIPELINE = 1000 };
    connection c;
    std::string topic, command;
    size_t size = 0;
    unsigned under_way = 0;

    explicit redis_publisher(const std::string &name) : topic(name) {}
    void publish(const void *bytes, size_t count) override
    {
        if (count != size) { // formatted once: all messages are alike
            const char *words[] = {"XADD", topic.c_str(), "*", "m", static_cast<const char *>(bytes)};
            const size_t lengths[] = {4, topic.size(), 1, 1, count};
            char *text;
            auto length = redisFormatCommandArgv(&text, 5, words, lengths);
            command.assign(text, size_t(length));
            redisFreeCommand(text);
            size = count;
        }
        redisAppendFormattedCommand(c.c, command.data(), command.size());
        if (++under_way == PIPELINE)
            flush();
    }
    void flush() override
    {
        for (; under_way > 0; under_way--)
            freeReplyObject(c.reply());
    }
};

struct redis_subscriber : net::subscriber {
    connection c;
    std::string topic, last = "0";

    explicit redis_subscriber(const std::string &name) : topic(name) { ask(); }
    int fd() override { return c.c->fd; }
    void ask()
    {
        redisAppendCommand(c.c, "XREAD COUNT 1000 BLOCK 0 STREAMS %s %s", topic.c_str(), last.c_str());
        int done = 0;
        while (!done)
            if (redisBufferWrite(c.c, &done) != REDIS_OK)
                net::die(c.c->errstr);
    }
    // [[topic, [[id, ["m", payload]], ...]]]
    void take(redisReply *r)
    {
        if (r->type == REDIS_REPLY_ERROR)
            net::die(r->str);
        const redisReply *entries = r->element[0]->element[1];
        for (size_t i = 0; i < entries->elements; i++) {
            const redisReply *payload = entries->element[i]->element[1]->element[1];
            got(payload->str, payload->len);
        }
        const redisReply *id = entries->element[entries->elements - 1]->element[0];
        last.assign(id->str, id->len);
        freeReplyObject(r);
        ask();
    }
    void wait() override { take(c.reply()); }
    void read_what_is_there() override
    {
        pollfd ready{c.c->fd, POLLIN, 0};
        if (poll(&ready, 1, 0) <= 0)
            return;
        void *came = nullptr;
        if (redisBufferRead(c.c) != REDIS_OK)
            net::die(c.c->errstr);
        while (redisReaderGetReply(c.c->reader, &came) == REDIS_OK && came != nullptr)
            take(static_cast<redisReply *>(came));
    }
};

static void measure(const char *name, bool stores)
{
    net::directory home;
    port = net::free_port();
    const pid_t server =
        net::start({"redis-server", "--port", std::to_string(port), "--bind", "127.0.0.1", "--save", "", "--dir",
                                  home.path, "--appendonly", stores ? "yes" : "no", "--appendfsync", "everysec"});
    net::peer p{name, server};
    p.publish = [](const std::string &topic, unsigned) { return std::make_unique<redis_publisher>(topic); };
    p.subscribe = [](const std::string &topic) { return std::make_unique<redis_subscriber>(topic); };
    if (stores) {
        net::add_one_way(p, "one way, batched, stored", 5);
    } else {
        net::add_one_way(p, "one way, batched", 5);
        net::add_to_all(p, 5);
        net::add_round_trips(p);
    }
    net::stop(p.broker);
}

int main()
{
    net::raise_descriptor_limit();
    printf("{\"results\":[\n");
    measure("redis", false);
    measure("redis, appendfsync everysec", true);
    printf("]}\n");
    return 0;
}
