// ZeroMQ over TCP: directly from the publisher to the subscriber, which is how it is used, and once more through
// zmq_proxy() in a process between them, as a broker is. By XPUB and SUB, but directly there and back by PUSH and PULL:
// what is faster. No limits on its queues, so that nothing is lost. Its thread for sockets runs on the core of its
// process.
#include "net.hpp"

#include <zmq.h>

static void must(int rc, const char *what)
{
    if (rc < 0)
        net::die(std::string(what) + ": " + zmq_strerror(zmq_errno()));
}

static std::string address(int port)
{
    return "tcp://127.0.0.1:" + std::to_string(port);
}

// One a process: a child makes its own.
static void *own_context()
{
    static pid_t maker;
    static void *made;
    if (maker != getpid()) {
        maker = getpid();
        made = zmq_ctx_new();
    }
    return made;
}

// Closed with its context's process: what is still queued is sent until then.
struct socket_of {
    void *made;
    explicit socket_of(int kind) : made(zmq_socket(own_context(), kind))
    {
        const int none = 0, verbose = 1;
        if (made == nullptr)
            must(-1, "socket");
        zmq_setsockopt(made, ZMQ_SNDHWM, &none, sizeof none);
        zmq_setsockopt(made, ZMQ_RCVHWM, &none, sizeof none);
        zmq_setsockopt(made, ZMQ_LINGER, &none, sizeof none);
        if (kind == ZMQ_XPUB) // each subscription is told of
            zmq_setsockopt(made, ZMQ_XPUB_VERBOSE, &verbose, sizeof verbose);
    }
    ~socket_of() { zmq_close(made); }
    void bind(int port) const { must(zmq_bind(made, address(port).c_str()), "bind"); }
    void connect(int port) const { must(zmq_connect(made, address(port).c_str()), "connect"); }
};

// What stands for a topic: a port; or two, and a process between them.
struct place {
    bool to_everybody;
    int in, out; // the same: there is no proxy
    pid_t proxy;
};

static std::vector<std::pair<std::string, place>> places; // made before a child is
static pid_t broker;

static const place &place_of(const std::string &topic)
{
    for (auto &one : places)
        if (one.first == topic)
            return one.second;
    net::die("no topic " + topic);
}

static void run_proxy(const place &at)
{
    socket_of in(at.to_everybody ? ZMQ_XSUB : ZMQ_PULL), out(at.to_everybody ? ZMQ_XPUB : ZMQ_PUSH);
    in.bind(at.in);
    out.bind(at.out);
    zmq_proxy(in.made, out.made, nullptr);
}

static void create(const std::string &topic, bool to_everybody, bool has_proxy)
{
    place at{to_everybody, net::free_port(), 0, 0};
    at.out = has_proxy ? net::free_port() : at.in;
    if (has_proxy) {
        at.proxy = net::child([&] {
            net::unpin();
            run_proxy(at);
        });
        broker = at.proxy;
    }
    places.emplace_back(topic, at);
}

static void clean()
{
    for (auto &one : places)
        if (one.second.proxy != 0)
            net::stop(one.second.proxy);
    places.clear();
}

struct zmq_publisher : net::publisher {
    const place &at;
    unsigned subscribers;
    socket_of s;

    zmq_publisher(const std::string &topic, unsigned count)
        : at(place_of(topic)), subscribers(count), s(at.to_everybody ? ZMQ_XPUB : ZMQ_PUSH)
    {
        if (at.proxy == 0 && at.to_everybody)
            s.bind(at.in);
        else
            s.connect(at.in);
    }
    // A proxy tells of all that have come before us by one subscription. Who comes late loses messages, which ends this.
    void ready() override
    {
        char subscription[8];
        unsigned wanted = !at.to_everybody ? 0 : at.proxy == 0 ? subscribers : 1;
        for (unsigned i = 0; i < wanted; i++)
            must(zmq_recv(s.made, subscription, sizeof subscription, 0), "subscription");
        if (wanted < subscribers && at.to_everybody)
            usleep(500000);
    }
    void publish(const void *bytes, size_t size) override { must(zmq_send(s.made, bytes, size, 0), "send"); }
    void flush() override {} // it has a thread for that
};

struct zmq_subscriber : net::subscriber {
    socket_of s;
    zmq_msg_t message;

    explicit zmq_subscriber(const std::string &topic) : s(place_of(topic).to_everybody ? ZMQ_SUB : ZMQ_PULL)
    {
        const place &at = place_of(topic);
        zmq_msg_init(&message);
        if (at.to_everybody)
            must(zmq_setsockopt(s.made, ZMQ_SUBSCRIBE, "", 0), "subscribe");
        if (at.proxy == 0 && !at.to_everybody)
            s.bind(at.out);
        else
            s.connect(at.out);
    }
    bool receive(int flags)
    {
        if (zmq_msg_recv(&message, s.made, flags) < 0)
            return false;
        got(zmq_msg_data(&message), zmq_msg_size(&message));
        return true;
    }
    int fd() override
    {
        int found = -1;
        size_t size = sizeof found;
        must(zmq_getsockopt(s.made, ZMQ_FD, &found, &size), "descriptor");
        return found;
    }
    void wait() override { receive(0); }
    // Its descriptor tells of changes: all is read that there is.
    void read_what_is_there() override
    {
        while (receive(ZMQ_DONTWAIT)) {
        }
    }
};

static void measure(const char *name, bool has_proxy)
{
    net::peer p{name, broker};
    p.create = [has_proxy](const std::string &topic, bool streams) { create(topic, streams || has_proxy, has_proxy); };
    p.clean = clean;
    p.publish = [](const std::string &topic, unsigned count) { return std::make_unique<zmq_publisher>(topic, count); };
    p.subscribe = [](const std::string &topic) { return std::make_unique<zmq_subscriber>(topic); };
    net::add_one_way(p, "one way, batched", 1);
    net::add_to_all(p, 1);
    net::add_round_trips(p);
}

int main()
{
    net::raise_descriptor_limit();
    printf("{\"results\":[\n");
    measure("zeromq, no broker", false);
    measure("zeromq, zmq_proxy", true);
    printf("]}\n");
    fflush(stdout);
    _exit(0); // nobody waits for its queues
}
