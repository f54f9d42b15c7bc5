//! The time before a broker is in service: it does not know the cluster's topics yet, and a client that asks for one
//! would be told that there is no such topic, which many take for final.

use std::time::Duration;

use tokio::net::TcpListener;

/// How long clients of a starting broker wait to be accepted, with the kernel: a start takes a fraction of it. After it
/// they are turned away at once, so that they ask another broker.
const START_PATIENCE: Duration = Duration::from_secs(1);

/// Turns clients away until `in_service` resolves.
pub async fn until_in_service(listener: &TcpListener, in_service: impl Future<Output = ()>) {
    let mut in_service = std::pin::pin!(in_service);
    if tokio::time::timeout(START_PATIENCE, &mut in_service).await.is_ok() {
        return;
    }
    loop {
        tokio::select! {
            biased;
            () = &mut in_service => return,
            accepted = listener.accept() => {
                if accepted.is_err() {
                    // Out of descriptors, perhaps: no reason to spin.
                    tokio::time::sleep(START_PATIENCE).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn clients_wait_for_a_start_and_are_turned_away_from_one_that_takes_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, opened) = oneshot::channel();
        let client = async {
            let mut early = TcpStream::connect(address).await.unwrap();
            // Ends only because it is turned away.
            assert_eq!(early.read(&mut [0; 1]).await.unwrap_or(0), 0);
            open.send(()).unwrap();
        };
        let gate = until_in_service(&listener, async { opened.await.unwrap() });
        tokio::join!(gate, client);
        let _late = TcpStream::connect(address).await.unwrap();
        listener.accept().await.unwrap();
    }
}
