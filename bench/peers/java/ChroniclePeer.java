import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import net.openhft.chronicle.bytes.Bytes;
import net.openhft.chronicle.queue.ChronicleQueue;
import net.openhft.chronicle.queue.ExcerptAppender;
import net.openhft.chronicle.queue.ExcerptTailer;
import net.openhft.chronicle.queue.impl.single.SingleChronicleQueueBuilder;
import net.openhft.chronicle.wire.DocumentContext;

/** Chronicle Queue between two pinned processes, this one and a child of it: stored in files, as a stored topic is. */
final class ChroniclePeer {
    private static ChronicleQueue open(Path path) {
        return SingleChronicleQueueBuilder.binary(path).build();
    }

    private static void write(ExcerptAppender appender, long value, int size) {
        try (DocumentContext document = appender.writingDocument()) {
            Bytes<?> bytes = document.wire().bytes();
            for (int i = 0; i < size; i += 8) {
                bytes.writeLong(value);
            }
        }
    }

    private static long read(ExcerptTailer tailer) {
        while (true) {
            try (DocumentContext document = tailer.readingDocument()) {
                if (!document.isPresent()) {
                    Thread.onSpinWait();
                    continue;
                }
                Bytes<?> bytes = document.wire().bytes();
                long sum = 0;
                while (bytes.readRemaining() >= 8) {
                    sum += bytes.readLong();
                }
                return sum;
            }
        }
    }

    /** Says that it is there with a byte; begins what it does, twice, at ours: to warm up, and in earnest. */
    private static final class Other implements AutoCloseable {
        private final Process process;

        Other(String what, Path home, int size, int count) throws IOException {
            List<String> command = new ArrayList<>(List.of(ProcessHandle.current().info().command().orElseThrow()));
            command.addAll(java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments());
            command.addAll(List.of("-cp", System.getProperty("java.class.path"), "ChroniclePeer", what, home.toString(),
                String.valueOf(size), String.valueOf(count)));
            process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
            awaitByte();
        }

        void awaitByte() throws IOException {
            int c;
            while ((c = process.getInputStream().read()) != '!') { // the library greets on standard output
                if (c < 0) {
                    throw new IOException("the other process ended early");
                }
            }
        }

        void go() throws IOException {
            process.getOutputStream().write('!');
            process.getOutputStream().flush();
        }

        @Override
        public void close() throws IOException {
            process.getOutputStream().close();
            try {
                process.waitFor();
            } catch (InterruptedException e) {
                throw new IOException(e);
            }
        }
    }

    private static void tell() {
        System.out.print('!');
        System.out.flush();
    }

    private static void child(String what, Path home, int size, int count) throws IOException {
        Peer.pin(1);
        try (ChronicleQueue there = open(home.resolve("there")); ChronicleQueue back = open(home.resolve("back"))) {
            ExcerptTailer tailer = there.createTailer();
            ExcerptAppender appender = (what.equals("echo") ? back : there).createAppender();
            tell();
            for (int messages : new int[] {Peer.WARM_UP, count}) {
                System.in.read();
                for (int i = 0; i < messages; i++) {
                    write(appender, what.equals("echo") ? read(tailer) : i, size);
                }
            }
            System.in.read();
        }
    }

    private static long stream(Path home, int size, int count) throws IOException {
        try (ChronicleQueue there = open(home.resolve("there")); Other other = new Other("stream", home, size, count)) {
            ExcerptTailer tailer = there.createTailer();
            long sum = 0;
            long start = 0;
            for (int messages : new int[] {Peer.WARM_UP, count}) {
                start = System.nanoTime();
                other.go();
                for (int i = 0; i < messages; i++) {
                    sum += read(tailer);
                }
            }
            Peer.kept = sum;
            return System.nanoTime() - start;
        }
    }

    private static long[] roundTrips(Path home, int size, int rounds) throws IOException {
        try (ChronicleQueue there = open(home.resolve("there")); ChronicleQueue back = open(home.resolve("back"));
            Other other = new Other("echo", home, size, rounds)) {
            ExcerptAppender appender = there.createAppender();
            ExcerptTailer tailer = back.createTailer();
            long[] times = null;
            for (int messages : new int[] {Peer.WARM_UP, rounds}) {
                times = new long[messages];
                other.go();
                for (int i = 0; i < messages; i++) {
                    long start = System.nanoTime();
                    write(appender, i, size);
                    Peer.kept = read(tailer);
                    times[i] = System.nanoTime() - start;
                }
            }
            return times;
        }
    }

    private static void remove(Path home) throws IOException {
        try (Stream<Path> paths = Files.walk(home)) {
            paths.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
        }
    }

    interface Measure<T> {
        T in(Path home) throws IOException;
    }

    /** In a folder of its own. */
    private static <T> T fresh(Measure<T> measure) throws IOException {
        Path home = Files.createTempDirectory("peer-chronicle-");
        try {
            Peer.pin(0);
            return measure.in(home);
        } finally {
            remove(home);
        }
    }

    private static void all(int size) throws Exception {
        int count = Peer.scaled(size < 1024 ? 1_000_000 : 300_000);
        int rounds = Peer.scaled(100_000);
        long[][] times = new long[1][];
        String line = Peer.besideTheLine(() -> times[0] = fresh(home -> roundTrips(home, size, rounds)));
        Peer.row("chronicle queue, round trip", size, Peer.latency(times[0]) + "," + line);
        long[] took = new long[1];
        line = Peer.besideTheLine(() -> took[0] = fresh(home -> stream(home, size, count)));
        Peer.row("chronicle queue, one at a time", size, Peer.rate(count, took[0]) + "," + line);
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 4) {
            child(arguments[0], Path.of(arguments[1]), Integer.parseInt(arguments[2]), Integer.parseInt(arguments[3]));
            return;
        }
        Peer.begin();
        for (int size : new int[] {32, 64, 256, 1024}) {
            all(size);
        }
        Peer.end();
    }
}
