//! The requests that the adapter works on, each under a token that stops being valid when the
//! request ends: an interrupt that comes after a removal or a reset finds nothing.

use std::collections::VecDeque;

use super::request::{OwnedRequest, Request};

/// Names one request in the adapter, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    index: usize,
    generation: u64,
}

#[derive(Default)]
pub(crate) struct Slots {
    entries: Vec<(u64, Option<OwnedRequest>)>,
    free: Vec<usize>,
    /// Requests whose completion waits for a word from outside, in the order they started.
    held: VecDeque<Token>,
}

impl Slots {
    pub(crate) fn insert(&mut self, request: OwnedRequest) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push((0, None));
            self.entries.len() - 1
        });
        let entry = &mut self.entries[index];
        entry.1 = Some(request);
        Token {
            index,
            generation: entry.0,
        }
    }

    /// Holds the request back until [`Self::held`] is asked for it.
    pub(crate) fn hold(&mut self, token: Token) {
        self.held.push_back(token);
    }

    pub(crate) fn take(&mut self, token: Token) -> Option<OwnedRequest> {
        let entry = &mut self.entries[token.index];
        if entry.0 != token.generation {
            return None;
        }
        let request = entry.1.take()?;
        entry.0 += 1;
        self.free.push(token.index);
        if !self.held.is_empty() {
            self.held.retain(|held| *held != token);
        }
        Some(request)
    }

    pub(crate) fn held(&self) -> impl ExactSizeIterator<Item = Token> + '_ {
        self.held.iter().copied()
    }

    pub(crate) fn get(&self, token: Token) -> Option<&Request> {
        let entry = &self.entries[token.index];
        if entry.0 == token.generation {
            entry.1.as_deref()
        } else {
            None
        }
    }

    /// The token of the first request that `wanted` picks.
    pub(crate) fn find(&self, mut wanted: impl FnMut(&Request) -> bool) -> Option<Token> {
        self.entries
            .iter()
            .enumerate()
            .find_map(|(index, (generation, request))| {
                let request = request.as_deref()?;
                wanted(request).then_some(Token {
                    index,
                    generation: *generation,
                })
            })
    }

    /// Everything in the adapter, in the order of arrival.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Request> + '_ {
        self.entries.iter().filter_map(|entry| entry.1.as_deref())
    }

    /// Takes everything out, in the order of arrival.
    pub(crate) fn drain(&mut self) -> Vec<OwnedRequest> {
        let mut all = Vec::new();
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if let Some(request) = entry.1.take() {
                entry.0 += 1;
                self.free.push(index);
                all.push(request);
            }
        }
        self.held.clear();
        all.sort_by_key(|request| request.record.sequence);
        all
    }
}
