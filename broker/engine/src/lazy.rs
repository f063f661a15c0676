//! State that idle sessions do not pay for.

/// A value that exists only while it is needed: one word when it is not.
pub(crate) struct Lazy<T>(Option<Box<T>>);

impl<T: Default> Lazy<T> {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// The value, made if it is not there.
    pub(crate) fn made(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }

    /// Drops the value if `idle` says that it holds nothing.
    pub(crate) fn release_if(&mut self, idle: impl FnOnce(&T) -> bool) {
        if self.0.as_deref().is_some_and(idle) {
            self.0 = None;
        }
    }
}
