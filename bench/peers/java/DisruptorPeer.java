import com.lmax.disruptor.BusySpinWaitStrategy;
import com.lmax.disruptor.EventPoller;
import com.lmax.disruptor.RingBuffer;
import java.util.Locale;

/** The LMAX Disruptor, one producer and one consumer: two pinned threads of one process, for it lives in one. */
final class DisruptorPeer {
    private static final int CAPACITY = 4096;
    private static final int BATCH = 32;

    private static final class Event {
        final long[] words;

        Event(int words) {
            this.words = new long[words];
        }
    }

    private static final class Ring {
        final RingBuffer<Event> buffer;
        final EventPoller<Event> poller;
        long received;
        long sum;

        Ring(int size) {
            buffer = RingBuffer.createSingleProducer(() -> new Event(size / 8), CAPACITY, new BusySpinWaitStrategy());
            poller = buffer.newPoller();
            buffer.addGatingSequences(poller.getSequence());
        }

        void publish(long value, int count) {
            while (!buffer.hasAvailableCapacity(count)) {
                Thread.onSpinWait();
            }
            long last = buffer.next(count);
            for (long sequence = last - count + 1; sequence <= last; sequence++) {
                long[] words = buffer.get(sequence).words;
                for (int i = 0; i < words.length; i++) {
                    words[i] = value;
                }
            }
            buffer.publish(last - count + 1, last);
        }

        private boolean onEvent(Event event, long sequence, boolean endOfBatch) {
            for (long word : event.words) {
                sum += word;
            }
            received++;
            return true;
        }

        private final EventPoller.Handler<Event> handler = this::onEvent;

        void receiveUntil(long count) throws Exception {
            while (received < count) {
                if (poller.poll(handler) != EventPoller.PollState.PROCESSING) {
                    Thread.onSpinWait();
                }
            }
            Peer.kept = sum;
        }
    }

    private static long pairs(int size, int count) throws Exception {
        Ring ring = new Ring(size);
        long start = System.nanoTime();
        for (int i = 0; i < count; i++) {
            ring.publish(i, 1);
            ring.receiveUntil(i + 1);
        }
        return System.nanoTime() - start;
    }

    private static long stream(int size, int count, int batch) throws Exception {
        Ring ring = new Ring(size);
        Thread producer = Peer.start(1, () -> {
            for (int i = 0; i < count; i += batch) {
                ring.publish(i, batch);
            }
        });
        Peer.pin(0);
        long start = System.nanoTime();
        ring.receiveUntil(count);
        long took = System.nanoTime() - start;
        producer.join();
        return took;
    }

    private static long[] roundTrips(int size, int rounds) throws Exception {
        Ring there = new Ring(size);
        Ring back = new Ring(size);
        Thread echo = Peer.start(1, () -> {
            for (int i = 1; i <= rounds; i++) {
                there.receiveUntil(i);
                back.publish(i, 1);
            }
        });
        Peer.pin(0);
        long[] times = new long[rounds];
        for (int i = 1; i <= rounds; i++) {
            long start = System.nanoTime();
            there.publish(i, 1);
            back.receiveUntil(i);
            times[i - 1] = System.nanoTime() - start;
        }
        echo.join();
        return times;
    }

    private static void all(int size) throws Exception {
        int count = Peer.scaled(10_000_000);
        Peer.row("disruptor push+pop, one thread", size,
            String.format(Locale.ROOT, "\"ns_per_operation\":%.3f", (double) pairs(size, count) / count));
        long[] took = new long[1];
        for (int batch : new int[] {1, BATCH}) {
            String line = Peer.besideTheLine(() -> took[0] = stream(size, count, batch));
            Peer.row("disruptor across cores, " + (batch == 1 ? "one at a time" : "batches of 32"), size,
                Peer.rate(count, took[0]) + "," + line);
        }
        long[][] times = new long[1][];
        String line = Peer.besideTheLine(() -> times[0] = roundTrips(size, Peer.scaled(100_000)));
        Peer.row("disruptor round trip", size, Peer.latency(times[0]) + "," + line);
    }

    public static void main(String[] arguments) throws Exception {
        Peer.begin();
        for (int size : new int[] {8, 64}) {
            pairs(size, Peer.WARM_UP);
            stream(size, Peer.WARM_UP, 1);
            stream(size, Peer.WARM_UP, BATCH);
            roundTrips(size, Peer.WARM_UP);
        }
        all(8);
        all(64);
        Peer.end();
    }
}
