//! Nothing that a disk holds after a crash and nothing that a peer says makes a broker panic or refuse to start.
//!
//! Source: a panic that a peer or a torn file can cause takes one broker after the other down, restarts included.
//! No I/O.

use std::any::Any;

use super::violation::Violation;

/// The violation of a run that ended by a panic with `payload`; where it happened is on standard error.
pub fn panicked(payload: &(dyn Any + Send)) -> Violation {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    Violation::new("no_panic", text.unwrap_or("a panic without words").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_violation_that_says_its_words() {
        let seen = |payload: &(dyn Any + Send)| panicked(payload).seen;
        assert_eq!(seen(&"fixed"), "fixed");
        assert_eq!(seen(&"made up".to_owned()), "made up");
        assert_eq!(seen(&7), "a panic without words");
    }
}
