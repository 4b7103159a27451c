/* `pub`: publishes. Its `ok` comes with the position, when the batch is numbered. Who is refused for going
 * too fast and goes on regardless is shown the door. */
#include "broker/hub/publish.h"
#include "broker/hub/verbs.h"
#include "broker/hub/worker.h"

/* Refusals within so long that end a session: it was told a hundred times when to come again. */
#define REFUSED_MAX 100
#define REFUSED_MS  10000

static void note_refused(struct ft_session *session)
{
    struct ft_account *account = session->asker.account;
    uint64_t now_ms = session->asker.worker->mono_ms;
    if (account->refused == 0 || now_ms - account->refused_at_ms >= REFUSED_MS) {
        account->refused = 0;
        account->refused_at_ms = now_ms;
    }
    if (++account->refused > REFUSED_MAX)
        ft_session_end(session, 4429, "publishes came too fast, for too long");
}

enum ft_err ft_on_pub(struct ft_session *session, const struct ft_envelope *envelope,
                      struct ft_problem *problem)
{
    enum ft_err err = ft_publish(&session->asker, envelope, problem);
    if (err == FT_ERR_TOO_MANY)
        note_refused(session);
    return err;
}
