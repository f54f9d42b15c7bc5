//! The ends of what is answered later: the coordinator's, which says what to answer, and the request's, which waits.

use std::marker::PhantomData;

use ottla_broker_coordinator::{Answer, Unanswered};
use tokio::sync::oneshot;

/// Through which a parked request gets its answer.
pub(super) type Asker<R> = oneshot::Sender<Result<R, Unanswered>>;
/// Through which somebody who has the answer learns that it may be given.
pub(super) type Waiter = oneshot::Sender<Result<(), Unanswered>>;

/// A value that may be answered once what it depends on is committed.
pub struct Answered<T> {
    /// The answer.
    pub value: T,
    /// The commit that it depends on; `None` if that is committed.
    pub commit: Option<oneshot::Receiver<Result<(), Unanswered>>>,
}

impl<T> Answered<T> {
    /// Waits for the commit.
    pub async fn committed(self) -> Result<T, Unanswered> {
        if let Some(commit) = self.commit {
            // The coordinator's end goes away when this broker stops.
            commit.await.unwrap_or(Err(Unanswered::NotCoordinator))?;
        }
        Ok(self.value)
    }
}

/// A request that is parked, with an answer of the type `T` among the replies `R` of its shard. If its connection goes,
/// this is dropped; the shard's end of it goes with the member's next answer or session, so each member leaves at most
/// one join and one sync behind.
pub struct Parked<T, R> {
    receiver: oneshot::Receiver<Result<R, Unanswered>>,
    kind: PhantomData<fn() -> T>,
}

impl<T, R> Parked<T, R>
where
    T: TryFrom<R, Error: std::fmt::Debug>,
{
    pub(super) fn new() -> (Asker<R>, Parked<T, R>) {
        let (asker, receiver) = oneshot::channel();
        (asker, Parked { receiver, kind: PhantomData })
    }

    /// Waits for the answer and for what it depends on.
    pub async fn answer(self) -> Result<T, Unanswered> {
        // The coordinator's end goes away when this broker stops.
        let reply = self.receiver.await.unwrap_or(Err(Unanswered::NotCoordinator))?;
        Ok(T::try_from(reply).expect("a token takes only replies of its request's kind"))
    }
}

/// Tells everybody; a connection that has gone has dropped its end.
pub(super) fn deliver<R>(answers: Vec<Answer<Asker<R>, Waiter, R>>) {
    for answer in answers {
        match answer {
            Answer::Reply(asker, reply) => drop(asker.send(reply)),
            Answer::Commit(waiter, ended) => drop(waiter.send(ended)),
        }
    }
}
