/* The thread whose topic is the copy of another broker's. */
#ifndef BROKER_MIRROR_FOLLOW_H
#define BROKER_MIRROR_FOLLOW_H

/* The body of a struct engine. The topic's log has it for its writer until it ends. */
void *follow_body(void *engine);

#endif
