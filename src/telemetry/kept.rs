//! Handles of series whose labels are known only when something is counted. The recorder finds a series by a key that
//! it has to build, label by label, each time; here it is found by the text of its labels, and built once.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use arrayvec::ArrayString;

/// Octets of labels that are looked up; longer ones go to the recorder each time.
const TEXT: usize = 192;
/// Handles that are kept; labels come from configuration or fixed lists, so this is never reached but by a fault.
const HANDLES: usize = 8192;

/// The handles of one metric by the values of its labels.
pub(super) struct Kept<H>(RwLock<Option<HashMap<Box<str>, H>>>);

impl<H: Clone> Kept<H> {
    pub(super) const fn new() -> Self {
        Self(RwLock::new(None))
    }

    /// The handle for these values; `make` makes it the first time.
    pub(super) fn of(&self, values: &[&str], make: impl FnOnce() -> H) -> H {
        let Some(text) = joined(values) else { return make() };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = known.as_ref().and_then(|known| known.get(text.as_str())) {
            return handle.clone();
        }
        drop(known);
        let handle = make();
        // what is made before there is a recorder counts nothing, and is not worth keeping
        if super::metrics::counts() {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let known = known.get_or_insert_default();
            if known.len() < HANDLES {
                known.insert(text.as_str().into(), handle.clone());
            }
        }
        handle
    }
}

/// No value holds the octet between two.
fn joined(values: &[&str]) -> Option<ArrayString<TEXT>> {
    let mut text = ArrayString::new();
    for value in values {
        text.try_push_str(value).ok()?;
        text.try_push('\0').ok()?;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::telemetry::exposition::{Names, install};

    #[test]
    fn a_handle_is_made_once_for_its_labels() {
        install(&Names::default());
        let (kept, made) = (Kept::new(), Cell::new(0));
        let of = |values: &[&str]| kept.of(values, || made.replace(made.get() + 1));
        assert_eq!((of(&["a", "b"]), of(&["ab", ""]), of(&["a", "b"])), (0, 1, 0));
        let long = "x".repeat(TEXT);
        assert_eq!((of(&[&long]), of(&[&long])), (2, 3), "too long to be kept");
    }
}
