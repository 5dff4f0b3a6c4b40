//! Calling back a request under every interleaving: `RUSTFLAGS="--cfg loom" cargo test -p xfersplit-core
//! --release --test loom_recall`.
//!
//! The request is a loom cell. Preparing it writes, cancelling it reads, and loom reports the two at
//! the same time.

#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread;
use xfersplit_core::recall::Recall;

/// A request, and the driver below that has it.
struct World {
    recall: Recall,
    request: UnsafeCell<u32>,
    /// The driver below has the request, and keeps it until it is cancelled.
    below: AtomicBool,
    /// How many requests the driver below answers at once before it keeps one.
    answers: AtomicU32,
}

// SAFETY: what loom would not let pass is what the test is about.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    fn new(answers: u32) -> Arc<Self> {
        Arc::new(Self {
            recall: Recall::new(),
            request: UnsafeCell::new(0),
            below: AtomicBool::new(false),
            answers: AtomicU32::new(answers),
        })
    }

    fn cancel(&self) {
        self.request.with(|request| {
            // SAFETY: loom checks it.
            let _journeys = unsafe { *request };
        });
        self.below.swap(false, Ordering::SeqCst);
    }

    fn close(&self) {
        if self.recall.close() {
            self.cancel();
        }
    }
}

/// Sends the request; what is answered inside the call is sent again by another processor.
fn send(world: &Arc<World>) -> Option<thread::JoinHandle<()>> {
    if !world.recall.begin() {
        return None;
    }
    world.request.with_mut(|request| {
        // SAFETY: loom checks it.
        unsafe { *request += 1 };
    });
    let left = world.answers.load(Ordering::Relaxed);
    let next = if left > 0 {
        world.answers.store(left - 1, Ordering::Relaxed);
        let other = Arc::clone(world);
        Some(thread::spawn(move || {
            assert!(send(&other).is_none(), "one answer is enough here");
        }))
    } else {
        world.below.store(true, Ordering::SeqCst);
        None
    };
    if world.recall.sent() {
        world.cancel();
    }
    next
}

fn check(answers: u32) {
    loom::model(move || {
        let world = World::new(answers);
        let sender = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                if let Some(next) = send(&world) {
                    next.join().unwrap();
                }
            })
        };
        world.close();
        sender.join().unwrap();
        assert!(!world.below.load(Ordering::SeqCst), "nothing stays below");
        assert!(!world.recall.begin(), "nothing is sent any more");
    });
}

#[test]
fn a_request_that_is_kept_comes_back() {
    check(0);
}

#[test]
fn a_request_that_is_answered_at_once_and_sent_again_comes_back() {
    check(1);
}
