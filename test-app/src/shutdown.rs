//! Telling endless answers that the process wants to end, and knowing when they have.

use tokio::sync::watch;

/// Orders the end; kept by the server.
pub(crate) struct Stop(watch::Sender<bool>);

/// Learns of the end; kept by whatever would otherwise go on for ever.
#[derive(Clone)]
pub(crate) struct Shutdown(Option<watch::Receiver<bool>>);

/// A connected pair.
pub(crate) fn pair() -> (Stop, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Stop(sender), Shutdown(Some(receiver)))
}

impl Stop {
    /// Orders the end.
    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Waits until every [`Shutdown`] of this pair is gone, so that nothing is left to finish.
    pub(crate) async fn finished(&self) {
        self.0.closed().await;
    }
}

impl Shutdown {
    /// One that never comes.
    pub(crate) fn never() -> Self {
        Self(None)
    }

    /// Waits for the end to be ordered.
    pub(crate) async fn wait(self) {
        match self.0 {
            // An error means that the server itself is gone, which is an end too.
            Some(mut receiver) => drop(receiver.wait_for(|stop| *stop).await),
            None => std::future::pending().await,
        }
    }
}
