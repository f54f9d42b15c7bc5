//! Waiting until the records behind an answer are committed, and Kafka's codes for records that are not.

use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use ottla_broker_protocol::ErrorCode;
use tokio::sync::oneshot;

use crate::partitions::ProduceWait;

/// The end of one append, for everybody whose answer depends on it or on an earlier one.
pub type Commit = Shared<BoxFuture<'static, ErrorCode>>;

/// Waits for the high watermark, for at most `timeout` from now on.
pub fn wait(committed: oneshot::Receiver<ProduceWait>, timeout: Duration) -> Commit {
    let deadline = tokio::time::sleep(timeout);
    let ended = async move {
        tokio::select! {
            biased;
            ended = committed => match ended {
                Ok(ProduceWait::Committed) => ErrorCode::None,
                Ok(ProduceWait::LeadershipLost) | Err(_) => ErrorCode::NotCoordinator,
            },
            () = deadline => ErrorCode::CoordinatorNotAvailable,
        }
    };
    ended.boxed().shared()
}

/// The code that a group's client understands, for a failed append.
pub fn append_code(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError | ErrorCode::FencedLeaderEpoch => {
            ErrorCode::NotCoordinator
        }
        ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut | ErrorCode::UnknownTopicOrPartition => {
            ErrorCode::CoordinatorNotAvailable
        }
        _ => ErrorCode::UnknownServerError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_learns_how_the_append_ended() {
        let (sender, receiver) = oneshot::channel();
        let commit = wait(receiver, Duration::from_secs(60));
        let other = commit.clone();
        sender.send(ProduceWait::Committed).unwrap();
        assert_eq!(commit.await, ErrorCode::None);
        assert_eq!(other.await, ErrorCode::None);
    }

    #[tokio::test]
    async fn a_lost_leadership_sends_the_client_to_the_new_coordinator() {
        let (sender, receiver) = oneshot::channel();
        let commit = wait(receiver, Duration::from_secs(60));
        sender.send(ProduceWait::LeadershipLost).unwrap();
        assert_eq!(commit.await, ErrorCode::NotCoordinator);
    }

    #[tokio::test]
    async fn an_append_that_nobody_replicates_times_out() {
        let (_sender, receiver) = oneshot::channel();
        assert_eq!(wait(receiver, Duration::ZERO).await, ErrorCode::CoordinatorNotAvailable);
    }
}
