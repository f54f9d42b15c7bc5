//! Does the writes and flushes of the quorum's files in the order in which they were asked for.
//!
//! Owns: the thread that writes, and the fact that a write or flush failed. A failed flush is final: what the
//! kernel holds is unknown after it, so every later job fails too, and the log stops.
//! Waiting jobs share one flush, so a burst of appends costs one.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use ottla_broker_log::DiskFile;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How many jobs may wait: what the voters have in flight is bounded far below it. When it is full the caller
/// waits for the disk.
const JOBS_MAX: usize = 4096;
/// How many jobs share one flush, so that the first of them does not wait without end.
const JOBS_PER_FLUSH_MAX: usize = 256;
/// The writer calls nothing deep; a small stack keeps an idle broker small.
const STACK_BYTES: usize = 256 * 1024;

/// Where the quorum writes its files from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteMode {
    /// On a thread of its own, so that no task waits for the disk.
    #[default]
    Thread,
    /// On the calling task, so that a simulation with one thread repeats itself exactly.
    Inline,
}

/// Which file a job leaves to be flushed.
pub(crate) type Dirty = Option<Arc<dyn DiskFile>>;

/// One piece of work and whom to tell.
struct Job {
    work: Box<dyn FnOnce() -> io::Result<Dirty> + Send>,
    done: Box<dyn FnOnce(io::Result<()>) + Send>,
}

/// The queue to the disk; clones share it.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: Queue,
}

#[derive(Clone)]
enum Queue {
    Thread(SyncSender<Job>),
    Inline(Arc<Mutex<Worker>>),
}

impl Writer {
    /// Starts the writer; its thread ends when the last clone is gone.
    pub(crate) fn start(mode: WriteMode) -> io::Result<Writer> {
        let worker = Worker { failed: None };
        let queue = match mode {
            WriteMode::Inline => Queue::Inline(Arc::new(Mutex::new(worker))),
            WriteMode::Thread => {
                let (tx, rx) = sync_channel(JOBS_MAX);
                std::thread::Builder::new()
                    .name("quorum-writer".to_owned())
                    .stack_size(STACK_BYTES)
                    .spawn(move || worker.run(&rx))?;
                Queue::Thread(tx)
            }
        };
        Ok(Writer { queue })
    }

    /// Enters `work`; `done` hears once its file is flushed, or why not. Work runs in the order of the calls.
    pub(crate) fn submit(
        &self,
        work: impl FnOnce() -> io::Result<Dirty> + Send + 'static,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        let job = Job { work: Box::new(work), done: Box::new(done) };
        match &self.queue {
            Queue::Inline(worker) => worker.lock().round(vec![job]),
            Queue::Thread(queue) => {
                let sent = match queue.try_send(job) {
                    Err(TrySendError::Full(job)) => queue.send(job).map_err(|error| error.0),
                    Err(TrySendError::Disconnected(job)) => Err(job),
                    Ok(()) => Ok(()),
                };
                if let Err(job) = sent {
                    (job.done)(Err(io::Error::other("the writer of the metadata log is gone")));
                }
            }
        }
    }

    /// Runs `work` in its turn, flushes what it leaves dirty, and gives back its result.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<(T, Dirty)> + Send + 'static,
    ) -> io::Result<T> {
        let (tx, rx) = oneshot::channel();
        let result = Arc::new(Mutex::new(None));
        let slot = result.clone();
        self.submit(
            move || {
                let (value, dirty) = work()?;
                *slot.lock() = Some(value);
                Ok(dirty)
            },
            // The caller may have given up.
            move |outcome| drop(tx.send(outcome)),
        );
        rx.await.unwrap_or_else(|_| Err(io::Error::other("the writer of the metadata log is gone")))?;
        Ok(result.lock().take().expect("work that succeeded left its result"))
    }
}

struct Worker {
    failed: Option<String>,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut round = vec![first];
            round.extend(jobs.try_iter().take(JOBS_PER_FLUSH_MAX - 1));
            self.round(round);
        }
    }

    /// Does the work of all jobs, flushing a file before another one is touched, so that a later file never
    /// holds what builds on lost bytes of an earlier one; then tells all.
    fn round(&mut self, jobs: Vec<Job>) {
        let mut waiting = Vec::with_capacity(jobs.len());
        let mut dirty: Dirty = None;
        for job in jobs {
            if let Some(file) = self.attempt(job.work) {
                let before = dirty.replace(file.clone());
                if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, &file)) {
                    self.flush(&before);
                }
            }
            waiting.push(job.done);
        }
        if let Some(file) = &dirty {
            self.flush(file);
        }
        for done in waiting {
            done(match &self.failed {
                None => Ok(()),
                Some(reason) => Err(io::Error::other(reason.clone())),
            });
        }
    }

    fn attempt(&mut self, work: Box<dyn FnOnce() -> io::Result<Dirty> + Send>) -> Dirty {
        if self.failed.is_some() {
            return None;
        }
        work().unwrap_or_else(|error| {
            self.failed = Some(error.to_string());
            None
        })
    }

    fn flush(&mut self, file: &Arc<dyn DiskFile>) {
        if self.failed.is_none()
            && let Err(error) = file.sync_data()
        {
            self.failed = Some(error.to_string());
        }
    }
}
