/* The shortest subscriber: prints what greetings has, from the first message on, and waits for more. */
#include <hermes/hermes.h>
#include <stdio.h>

int main(void)
{
    hermes_client_t *client;
    hermes_subscriber_t *subscriber = NULL;
    hermes_message_t message;
    int rc = hermes_connect(NULL, &client);
    if (rc == 0)
        rc = hermes_subscriber_open(client, "greetings", NULL, &subscriber);
    if (rc == 0)
        rc = hermes_seek_first(subscriber);
    while (rc >= 0 && (rc = hermes_wait(subscriber, &message, HERMES_FOREVER)) >= 0)
        if (rc > 0 && printf("%.*s\n", (int)message.length, (const char *)message.payload) > 0)
            fflush(stdout);
    fprintf(stderr, "subscribe: %s\n", hermes_last_error(client));
    hermes_disconnect(client);
    return 1;
}
