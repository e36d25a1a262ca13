//! A configuration that others may replace while it is in use.

use std::sync::{Arc, PoisonError, RwLock};

/// The present configuration. Clones show the same one; what was begun with an older one keeps it.
#[derive(Debug)]
pub(crate) struct Current<T> {
    shared: Arc<RwLock<Arc<T>>>,
}

impl<T> Current<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { shared: Arc::new(RwLock::new(Arc::new(value))) }
    }

    pub(crate) fn get(&self) -> Arc<T> {
        // A pointer is whole even when somebody panicked beside it.
        Arc::clone(&self.shared.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows from now on what `other` shows now.
    pub(crate) fn replace(&self, other: &Self) {
        let value = other.get();
        *self.shared.write().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}
