typedef int x_bench_log;
