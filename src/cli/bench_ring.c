typedef int x_bench_ring;
