/* The shortest publisher: hermes topic create greetings; ./publish; hermes sub greetings --from first --count
 * 1 */
#include <hermes/hermes.h>
#include <stdio.h>

int main(void)
{
    hermes_client_t *client;
    hermes_publisher_t *publisher;
    int rc = hermes_connect(NULL, &client);
    if (rc == 0)
        rc = hermes_publisher_open(client, "greetings", NULL, &publisher);
    if (rc == 0)
        rc = hermes_publish(publisher, "hello", 5, NULL);
    if (rc < 0)
        fprintf(stderr, "publish: %s\n", hermes_last_error(client));
    hermes_disconnect(client);
    return rc < 0;
}
