//! Chains of pool members: the free ones, a transfer's spare ones, those ready to be sent.

use core::{cell::Cell, ptr::NonNull};

use super::Pooled;

/// A pool member's place in the one chain it may be in.
pub(super) struct Link<T>(Cell<Option<NonNull<T>>>);

impl<T> Default for Link<T> {
    fn default() -> Self {
        Self(Cell::new(None))
    }
}

/// Something that can be chained.
pub(super) trait Linked: Sized {
    /// The member's link. It belongs to whoever holds the chain's lock, or the member itself.
    fn link(&self) -> &Link<Self>;
}

/// First in, first out. Lives behind the lock of whoever owns it.
pub(super) struct Chain<T: Linked> {
    ends: Option<(Pooled<T>, Pooled<T>)>,
}

impl<T: Linked> Default for Chain<T> {
    fn default() -> Self {
        Self { ends: None }
    }
}

impl<T: Linked> Chain<T> {
    /// Adds a member that is in no chain.
    pub(super) fn push(&mut self, member: Pooled<T>) {
        member.link().0.set(None);
        self.ends = match self.ends {
            None => Some((member, member)),
            Some((first, last)) => {
                last.link().0.set(Some(member.as_non_null()));
                Some((first, member))
            }
        };
    }

    /// Takes the member that was added first.
    pub(super) fn pop(&mut self) -> Option<Pooled<T>> {
        let (first, last) = self.ends?;
        self.ends = first.link().0.take().map(|next| {
            // SAFETY: links are only ever set to members of the same pool, in `push`.
            (unsafe { Pooled::from_non_null(next) }, last)
        });
        Some(first)
    }

    /// Whether nothing is chained.
    pub(super) const fn is_empty(&self) -> bool {
        self.ends.is_none()
    }
}
