/* Latency by percentile as an SVG picture: a line for each result that has a distribution. */
#include "bench/bench.h"

enum { WIDTH = 960, HEIGHT = 540, LEFT = 70, RIGHT = 330, TOP = 30, BOTTOM = 50 };

static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
                                      "#56b4e9", "#000000", "#999999", "#8c564b", "#6a3d9a"};

struct scale {
    double low, high; /* powers of ten, in nanoseconds */
};

static double x_of(unsigned quantile)
{
    return LEFT + (double)quantile / (BENCH_QUANTILES - 1) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct scale *scale, double ns)
{
    double share = (log10(ns) - scale->low) / (scale->high - scale->low);
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
}

static struct scale find_scale(const struct bench *bench)
{
    double least = INFINITY, most = 0;
    for (unsigned i = 0; i < bench->count; i++)
        for (unsigned q = 0; q < BENCH_QUANTILES; q++) {
            double ns = bench->results[i].quantiles[q];
            if (ns > 0 && ns < least)
                least = ns;
            if (ns > most)
                most = ns;
        }
    return (struct scale){floor(log10(least)), ceil(log10(most + 1))};
}

static void draw_axes(FILE *file, const struct scale *scale)
{
    static const char *const marks[] = {"0", "90 %", "99 %", "99.9 %", "99.99 %"};
    for (unsigned i = 0; i < 5; i++) {
        double x = x_of(i * 10);
        fprintf(file,
                "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#ddd\"/>"
                "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                x, TOP, x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 18, marks[i]);
    }
    static const char *const units[] = {"ns", "us", "ms", "s"};
    for (int power = (int)scale->low; power <= (int)scale->high && power < 12; power++) {
        double y = y_of(scale, pow(10, power));
        char label[16];
        snprintf(label, sizeof label, "%.0f %s", pow(10, power % 3), units[power / 3]);
        fprintf(file,
                "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                LEFT, y, WIDTH - RIGHT, y, LEFT - 6, y + 4, label);
    }
    fprintf(file, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">share of messages</text>\n",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12);
}

bool bench_plot(const struct bench *bench, FILE *file)
{
    struct scale scale = find_scale(bench);
    if (!isfinite(scale.low))
        return false;
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
            "font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            WIDTH, HEIGHT);
    draw_axes(file, &scale);
    unsigned drawn = 0;
    for (unsigned i = 0; i < bench->count; i++) {
        const struct bench_result *result = &bench->results[i];
        if (result->quantiles[0] <= 0)
            continue;
        const char *colour = colours[drawn % (sizeof colours / sizeof colours[0])];
        fprintf(file, "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"%s\" points=\"", colour);
        for (unsigned q = 0; q < BENCH_QUANTILES; q++)
            fprintf(file, "%.1f,%.1f ", x_of(q), y_of(&scale, result->quantiles[q]));
        double y = TOP + 18 * drawn++;
        fprintf(file,
                "\"/>\n<rect x=\"%d\" y=\"%.0f\" width=\"14\" height=\"4\" fill=\"%s\"/>"
                "<text x=\"%d\" y=\"%.0f\">%s, %llu B</text>\n",
                WIDTH - RIGHT + 12, y, colour, WIDTH - RIGHT + 32, y + 6, result->name,
                (unsigned long long)result->size_bytes);
    }
    fprintf(file, "</svg>\n");
    return true;
}
