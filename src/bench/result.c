/* Results: a line for people, one JSON document for programs. */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench/bench.h"
#include "cli/terminal.h"

struct bench_result *bench_add(struct bench *bench, const char *name, uint64_t size_bytes)
{
    if (bench->count == BENCH_RESULTS)
        exit(cli_fail("benchmark", 0, "too many results for one document: fewer --runs, or fewer --minutes"));
    struct bench_result *result = &bench->results[bench->count++];
    *result = (struct bench_result){.size_bytes = size_bytes};
    snprintf(result->name, sizeof result->name, "%s", name);
    return result;
}

static void print_latencies(FILE *to, const struct bench_result *r)
{
    if (r->rtt_p50_ns > 0)
        fprintf(to, "   rtt p50 %6.0f p99 %6.0f ns   ratio %.2f", r->rtt_p50_ns, r->rtt_p99_ns,
                r->ratio_to_line);
    if (r->delay.p50_ns > 0)
        fprintf(to, "   late p50 %6.0f p99 %6.0f p99.9 %7.0f p99.99 %8.0f ns", r->delay.p50_ns,
                r->delay.p99_ns, r->delay.p999_ns, r->delay.p9999_ns);
    if (r->empty.p50_ns > 0)
        fprintf(to, "; empty loop %.0f, %.0f, %.0f, %.0f", r->empty.p50_ns, r->empty.p99_ns, r->empty.p999_ns,
                r->empty.p9999_ns);
    if (r->one_way_p50_ns > 0)
        fprintf(to, "   one way p50 %6.0f p99 %6.0f ns", r->one_way_p50_ns, r->one_way_p99_ns);
    if (r->call_p50_ns > 0)
        fprintf(to, "   a call p50 %6.0f p99 %6.0f ns", r->call_p50_ns, r->call_p99_ns);
}

static void print_line(FILE *to, const struct bench_result *r)
{
    if (r->line_rtt_ns <= 0)
        return;
    fprintf(to, "   (line %.0f, %.0f ns: %s", r->line_before_ns, r->line_after_ns,
            bench_placement(r->line_rtt_ns));
    if (r->thrown_away > 0)
        fprintf(to, "; %u thrown away%s", r->thrown_away, r->unsteady ? ", this one unsteady, too" : "");
    fputc(')', to);
}

static void print_details(FILE *to, const struct bench_result *r)
{
    print_latencies(to, r);
    if (r->repair_p50_ns > 0)
        fprintf(to, "   repaired p50 %6.0f p99 %6.0f ns", r->repair_p50_ns, r->repair_p99_ns);
    if (r->cpu_percent > 0)
        fprintf(to, "   %.2f %% of one core", r->cpu_percent);
    if (r->resident_bytes > 0)
        fprintf(to, "   %.1f MB", r->resident_bytes / 1e6);
    if (r->messages_per_second > 0)
        fprintf(to, "   %8.2f M/s", r->messages_per_second / 1e6);
    if (r->may_lose)
        fprintf(to, "   %.1f %% lost", r->lost_percent);
    if (r->ns_per_operation >= 1e5)
        fprintf(to, "   %8.2f ms", r->ns_per_operation / 1e6);
    else if (r->ns_per_operation > 0)
        fprintf(to, "   %8.2f ns", r->ns_per_operation);
    if (r->bytes_per_second > 0)
        fprintf(to, "   %6.2f GB/s", r->bytes_per_second / 1e9);
    if (r->cpu_seconds_per_million > 0)
        fprintf(to, "   %6.3f CPU s a million", r->cpu_seconds_per_million);
    if (r->messages_per_core_second > 0)
        fprintf(to, "   %8.0f a core-second", r->messages_per_core_second);
    print_line(to, r);
    if (r->note[0] != 0)
        fprintf(to, "   (%s)", r->note);
}

/* What does not fit beside the name stands below it. */
void bench_print(const struct bench *bench, const struct bench_result *r)
{
    enum { INDENTATION = 4 };
    char details[768] = "";
    if (bench->json)
        return;
    FILE *to = fmemopen(details, sizeof details, "w");
    if (to != NULL) {
        print_details(to, r);
        fclose(to);
    }
    unsigned columns = terminal_columns(STDOUT_FILENO);
    int name = printf("%-44s %6llu B", r->name, (unsigned long long)r->size_bytes);
    if (columns == 0 || (unsigned)name + strlen(details) <= columns) {
        puts(details);
    } else {
        printf("\n%*s", INDENTATION, "");
        terminal_print_wrapped(details + strspn(details, " "), INDENTATION, columns);
    }
    fflush(stdout);
}

static void print_field(const char *name, double value)
{
    if (value > 0)
        printf(",\"%s\":%.3f", name, value);
}

static void print_tail(const char *name, const struct bench_tail *tail)
{
    if (tail->p50_ns > 0)
        printf(",\"%s_p50_ns\":%.0f,\"%s_p99_ns\":%.0f,\"%s_p999_ns\":%.0f,\"%s_p9999_ns\":%.0f", name,
               tail->p50_ns, name, tail->p99_ns, name, tail->p999_ns, name, tail->p9999_ns);
}

static void print_result(const struct bench_result *r)
{
    printf("{\"name\":");
    cli_print_json_string(stdout, r->name, strlen(r->name));
    printf(",\"size_bytes\":%llu", (unsigned long long)r->size_bytes);
    print_field("rtt_p50_ns", r->rtt_p50_ns);
    print_field("rtt_p99_ns", r->rtt_p99_ns);
    print_field("ratio_to_line", r->ratio_to_line);
    print_tail("delay", &r->delay);
    print_tail("empty", &r->empty);
    print_field("one_way_p50_ns", r->one_way_p50_ns);
    print_field("one_way_p99_ns", r->one_way_p99_ns);
    print_field("call_p50_ns", r->call_p50_ns);
    print_field("call_p99_ns", r->call_p99_ns);
    print_field("repair_p50_ns", r->repair_p50_ns);
    print_field("repair_p99_ns", r->repair_p99_ns);
    print_field("cpu_percent", r->cpu_percent);
    print_field("resident_bytes", r->resident_bytes);
    print_field("messages_per_second", r->messages_per_second);
    print_field("cpu_seconds_per_million", r->cpu_seconds_per_million);
    print_field("messages_per_core_second", r->messages_per_core_second);
    print_field("ns_per_operation", r->ns_per_operation);
    print_field("bytes_per_second", r->bytes_per_second);
    if (r->may_lose)
        printf(",\"lost_percent\":%.3f", r->lost_percent);
    if (r->line_rtt_ns > 0)
        printf(",\"line_rtt_ns\":%.0f,\"line_before_ns\":%.0f,\"line_after_ns\":%.0f,\"placement\":\"%s\","
               "\"thrown_away\":%u",
               r->line_rtt_ns, r->line_before_ns, r->line_after_ns, bench_placement(r->line_rtt_ns),
               r->thrown_away);
    if (r->note[0] != 0) {
        printf(",\"note\":");
        cli_print_json_string(stdout, r->note, strlen(r->note));
    }
    printf(",\"steady\":%s}", r->unsteady ? "false" : "true");
}

/* "model name : AMD EPYC" of /proc/cpuinfo, where there is such a line. */
static void read_cpu_model(char *model, size_t bytes)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || colon == NULL)
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(model, bytes, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    if (file != NULL)
        fclose(file);
}

static void print_machine(void)
{
    char model[128] = "unknown";
    struct utsname system;
    read_cpu_model(model, sizeof model);
    if (uname(&system) != 0)
        system.release[0] = 0;
    printf("\"machine\":{\"cpu\":");
    cli_print_json_string(stdout, model, strlen(model));
    printf(",\"cpus\":%d,\"system\":", bench_cpus());
    cli_print_json_string(stdout, system.release, strlen(system.release));
    printf(",\"compiler\":");
    cli_print_json_string(stdout, __VERSION__, strlen(__VERSION__));
    printf("}");
}

void bench_print_document(const struct bench *bench)
{
    printf("{\"version\":\"" PROGRAM_VERSION "\",");
    print_machine();
    printf(",\n\"results\":[");
    for (unsigned i = 0; i < bench->count; i++) {
        printf("%s\n", i > 0 ? "," : "");
        print_result(&bench->results[i]);
    }
    printf("]}\n");
}
