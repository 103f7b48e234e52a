//! Stopping in order.
//!
//! Owns: [`Shutdown`], a wish to stop that every loop looks at between two durable steps. Does not own: signals (`main`).

use tokio_util::sync::CancellationToken;

/// A wish to stop, shared by all tasks of an engine.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Asks everybody to stop at the next safe place.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until somebody asks.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// A wish that follows this one but can be made alone, for the tasks of one step.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token() }
    }
}
