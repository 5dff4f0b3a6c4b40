//! Runs and NT threads.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use super::bug_check::BugCheck;
use super::context::{self, Context, ThreadId};
use super::core::{OBJECT_IDLE, OBJECT_THREAD_END};
use super::{Clock, Machine, lock};

/// OS stack of an NT thread; the limit that counts is `Config::stack_limit`.
const OS_STACK: usize = 8 << 20;

/// Another NT thread of a run.
#[derive(Debug)]
pub struct NtThread {
    id: ThreadId,
}

impl NtThread {
    /// Waits until the thread has ended. Call at `PASSIVE_LEVEL`, from a thread of the same run.
    pub fn join(self) {
        let context = context::current();
        let mut core = context.machine.core();
        if !core.threads[self.id].ended {
            let place = "for another thread to end".to_owned();
            core.begin_wait(context.thread, OBJECT_THREAD_END + self.id, None, place);
            context.machine.sleep(&context, core);
        }
    }
}

impl Machine {
    /// Runs `f` as an NT thread at `PASSIVE_LEVEL`, until it and all threads it spawned have ended.
    ///
    /// A machine can be run again after `Ok`; its time and its objects go on.
    ///
    /// # Errors
    /// The bug check that stopped the machine. Its threads are parked for ever, so a machine that
    /// has stopped cannot be run again.
    ///
    /// # Panics
    /// If `f` or a spawned thread panicked, with the same payload.
    pub fn run<T: Send>(self: &Arc<Self>, f: impl FnOnce() -> T + Send) -> Result<T, BugCheck> {
        let result = Arc::new(Mutex::new(None));
        let id = self.register_thread("main", false);
        let main = {
            let machine = self.clone();
            let result = result.clone();
            let body = move || {
                let value = f();
                *lock(&result) = Some(value);
            };
            let builder = std::thread::Builder::new()
                .name("main".into())
                .stack_size(OS_STACK);
            // SAFETY: this function returns when the thread has ended, or when it is parked for ever
            // and will never touch what `f` borrows again.
            unsafe { builder.spawn_unchecked(move || machine.nt_thread(id, body)) }
                .expect("the host can start a thread")
        };
        let processors = self.start_processors();
        let outcome = self.await_end();
        match outcome {
            Ok(()) => {
                let others = std::mem::take(&mut *lock(&self.handles));
                for thread in std::iter::once(main).chain(others).chain(processors) {
                    thread
                        .join()
                        .unwrap_or_else(|payload| resume_unwind(payload));
                }
                let mut core = self.core();
                core.finished = false;
                core.closing = false;
                drop(core);
                let value = lock(&result).take();
                Ok(value.expect("the thread stored its result before it ended"))
            }
            Err(report) => Err(report),
        }
    }

    /// Starts another NT thread; it runs at `PASSIVE_LEVEL` and the run does not end before it does.
    ///
    /// # Panics
    /// If the host cannot start a thread.
    pub fn spawn_thread(
        self: &Arc<Self>,
        name: &str,
        f: impl FnOnce() + Send + 'static,
    ) -> NtThread {
        NtThread {
            id: self.spawn(name, false, f),
        }
    }

    pub(crate) fn spawn(
        self: &Arc<Self>,
        name: &str,
        system: bool,
        f: impl FnOnce() + Send + 'static,
    ) -> ThreadId {
        let id = self.register_thread(name, system);
        let machine = self.clone();
        let builder = std::thread::Builder::new()
            .name(name.into())
            .stack_size(OS_STACK);
        let handle = builder
            .spawn(move || machine.nt_thread(id, f))
            .expect("the host can start a thread");
        lock(&self.handles).push(handle);
        id
    }

    /// Lets everything run that is due or becomes due, until all other threads wait and nothing is
    /// left. Call at `PASSIVE_LEVEL`.
    pub fn idle(&self) {
        let context = context::current();
        let mut core = self.core();
        core.begin_wait(
            context.thread,
            OBJECT_IDLE,
            None,
            "for the machine to be idle".to_owned(),
        );
        self.sleep(&context, core);
    }

    fn register_thread(&self, name: &str, system: bool) -> ThreadId {
        let mut core = self.core();
        let id = core.add_thread(name, system);
        if system {
            core.workers += 1;
        } else {
            core.live += 1;
        }
        core.busy += 1;
        if self.is_deterministic() {
            if core.running.is_none() {
                core.running = Some(id);
            } else {
                core.ready.push(id);
            }
            self.update_attention(&mut core);
        }
        id
    }

    /// The life of an NT thread.
    fn nt_thread(self: Arc<Self>, id: ThreadId, body: impl FnOnce()) {
        let context = Rc::new(Context::new(self.clone(), id));
        context.stack_base.set((&raw const context).addr());
        context::install(context.clone());
        self.await_first_turn(id);
        match catch_unwind(AssertUnwindSafe(body)) {
            Ok(()) => {
                crate::io::assert_regions_left(&context);
                self.retire(&context);
            }
            Err(payload) => {
                let mut core = self.core();
                core.panic.get_or_insert(payload);
                self.wake_everybody(&core);
            }
        }
        context::uninstall();
    }

    fn start_processors(self: &Arc<Self>) -> Vec<std::thread::JoinHandle<()>> {
        let Clock::Threads { processors, .. } = self.config().clock else {
            return Vec::new();
        };
        (0..processors.max(1))
            .map(|number| {
                let name = format!("processor {number}");
                let id = self.core().add_thread(&name, true);
                let machine = self.clone();
                let builder = std::thread::Builder::new().name(name).stack_size(OS_STACK);
                let run = move || {
                    let context = Rc::new(Context::new(machine.clone(), id));
                    context.stack_base.set((&raw const context).addr());
                    context::install(context.clone());
                    machine.processor_loop(&context);
                    context::uninstall();
                };
                builder.spawn(run).expect("the host can start a thread")
            })
            .collect()
    }

    /// Waits, on the caller's own thread, for the run to end one way or another.
    fn await_end(&self) -> Result<(), BugCheck> {
        let mut core = self.core();
        loop {
            if let Some(payload) = core.panic.take() {
                drop(core);
                resume_unwind(payload);
            }
            if let Some(report) = &core.stopped {
                return Err(report.clone());
            }
            if core.live == 0 && core.running.is_none() && !self.work_outstanding() {
                if core.workers == 0 {
                    core.finished = true;
                    self.processors.notify_all();
                    return Ok(());
                }
                self.dismiss_workers(&mut core);
            }
            core = self
                .ended
                .wait(core)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
