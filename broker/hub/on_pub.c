/* `pub`: publishes. Its `ok` comes with the position, when the batch is numbered. */
#include "broker/hub/publish.h"
#include "broker/hub/verbs.h"

enum ft_err ft_on_pub(struct ft_session *session, const struct ft_envelope *envelope,
                      struct ft_problem *problem)
{
    return ft_publish(&session->asker, envelope, problem);
}
