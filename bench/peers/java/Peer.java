import java.util.Arrays;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicLongArray;
import net.openhft.affinity.Affinity;

/** What the peers in Java share: as peer.hpp has it. */
final class Peer {
    /** What runs before anything is measured, so that it is compiled by then. */
    static final int WARM_UP = 50_000;

    private static final int ROUNDS = 20_000;
    private static final int TRIES = 8;
    private static boolean first = true;
    static volatile long kept;

    private Peer() {
    }

    interface Body {
        void run() throws Exception;
    }

    static void pin(int cpu) {
        Affinity.setAffinity(cpu);
    }

    /** bench/compare.py --scale PERCENT. */
    static int scaled(int work) {
        String percent = System.getenv("HERMES_BENCH_SCALE");
        long count = percent != null ? (long) work * Long.parseLong(percent) / 100 : work;
        return (int) Math.max(count, 128) / 32 * 32;
    }

    static Thread start(int cpu, Body body) {
        Thread thread = new Thread(() -> {
            pin(cpu);
            try {
                body.run();
            } catch (Exception e) {
                e.printStackTrace();
                System.exit(1);
            }
        });
        thread.start();
        return thread;
    }

    static double quantile(long[] times, double share) {
        long[] sorted = times.clone();
        Arrays.sort(sorted);
        return sorted[(int) (share * sorted.length)];
    }

    static double clockCost() {
        long[] times = new long[10_000];
        for (int i = 0; i < times.length; i++) {
            long start = System.nanoTime();
            times[i] = System.nanoTime() - start;
        }
        return quantile(times, 0.5);
    }

    private static final int PING = 16;
    private static final int PONG = 48;

    private static void await(AtomicLongArray lines, int which, long value, boolean paused) {
        while (lines.getAcquire(which) != value) {
            if (paused) {
                Thread.onSpinWait();
            }
        }
    }

    /** The bare line, as in hermes bench. */
    static double line() throws Exception {
        double best = Double.MAX_VALUE;
        for (boolean paused : new boolean[] {false, true}) {
            AtomicLongArray lines = new AtomicLongArray(64);
            Thread echo = start(1, () -> {
                for (long i = 1; i <= ROUNDS; i++) {
                    await(lines, PING, i, paused);
                    lines.setRelease(PONG, i);
                }
            });
            pin(0);
            long[] times = new long[ROUNDS];
            for (int i = 1; i <= ROUNDS; i++) {
                long start = System.nanoTime();
                lines.setRelease(PING, i);
                await(lines, PONG, i, paused);
                times[i - 1] = System.nanoTime() - start;
            }
            echo.join();
            best = Math.min(best, quantile(times, 0.5));
        }
        return best - clockCost();
    }

    /** Runs measure between two looks at the line, again where they differ by more than a fifth; the end of a result. */
    static String besideTheLine(Body measure) throws Exception {
        for (int thrownAway = 0;; thrownAway++) {
            double before = line();
            measure.run();
            double after = line();
            boolean steady = Math.max(before, after) <= 1.2 * Math.min(before, after);
            if (steady || thrownAway == TRIES - 1) {
                return String.format(Locale.ROOT, "\"line_before_ns\":%.0f,\"line_after_ns\":%.0f,\"thrown_away\":%d", before, after,
                    thrownAway + (steady ? 0 : 1));
            }
        }
    }

    static void begin() throws Exception {
        System.out.println("{\"results\":[");
        for (int i = 0; i < 5; i++) { // the line, too, wants to be compiled
            line();
        }
    }

    static void row(String name, int size, String rest) {
        System.out.printf(Locale.ROOT, "%s{\"name\":\"%s\",\"size_bytes\":%d,%s}", first ? "" : ",\n", name, size, rest);
        first = false;
    }

    static String latency(long[] times) {
        double cost = clockCost();
        return String.format(Locale.ROOT, "\"rtt_p50_ns\":%.0f,\"rtt_p99_ns\":%.0f", quantile(times, 0.5) - cost,
            quantile(times, 0.99) - cost);
    }

    static String rate(long count, long ns) {
        return String.format(Locale.ROOT, "\"messages_per_second\":%.0f", count * 1e9 / ns);
    }

    static void end() {
        System.out.println("]}");
    }
}
