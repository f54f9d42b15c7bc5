//! What an error of the disk means: whether the log may go on, and what a person can do. One table. No I/O.

use std::io;

use rustix::io::Errno;

/// How much an error leaves of what called the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Space ran out, in the file system or in a quota. The call can be repeated when there is some.
    NoSpace,
    /// The machine or the process has no more of something else: open files, memory, threads. The call did nothing
    /// and can be repeated.
    Exhausted,
    /// Anything else. What the disk holds is not known any more.
    Broken,
}

/// One row of the table: an error, what it leaves, and what a person can do about it.
struct Row {
    errnos: &'static [Errno],
    trouble: Trouble,
    advice: &'static str,
}

/// No sentence may tell anybody to remove files of the broker: a copy that looks broken may be the only one.
#[rustfmt::skip] // A table is read by rows.
const TABLE: &[Row] = &[
    Row { errnos: &[Errno::NOSPC], trouble: Trouble::NoSpace,
        advice: "the disk is full: enlarge the volume (storage.size), move partitions to other brokers, or let topics keep less (retention.ms, retention.bytes, DeleteTopics, DeleteRecords); the broker gives space back while it runs and goes on by itself" },
    Row { errnos: &[Errno::DQUOT], trouble: Trouble::NoSpace,
        advice: "the quota of the file system is used up: raise it, move partitions to other brokers, or let topics keep less (retention.ms, retention.bytes); the broker gives space back while it runs and goes on by itself" },
    Row { errnos: &[Errno::MFILE], trouble: Trouble::Exhausted,
        advice: "this process may open no more files: raise its hard limit of open files (ulimit -Hn, LimitNOFILE), or move partitions to other brokers; the files on disk are sound" },
    Row { errnos: &[Errno::NFILE], trouble: Trouble::Exhausted,
        advice: "the machine can open no more files: raise fs.file-max, or stop what else holds many of them; the files on disk are sound" },
    Row { errnos: &[Errno::NOMEM, Errno::NOBUFS], trouble: Trouble::Exhausted,
        advice: "the machine is out of memory: raise the memory limit of the broker, or stop what else uses it; the files on disk are sound" },
    Row { errnos: &[Errno::AGAIN, Errno::INTR, Errno::BUSY, Errno::NOLCK], trouble: Trouble::Exhausted,
        advice: "the system could not do it just then: it is tried again" },
    Row { errnos: &[Errno::IO, Errno::NXIO, Errno::NODEV, Errno::REMOTEIO, Errno::NOMEDIUM], trouble: Trouble::Broken,
        advice: "the device under the disk fails: look into the kernel's log and replace the volume; other replicas take over, and this copy stays as it is" },
    Row { errnos: &[Errno::ROFS], trouble: Trouble::Broken,
        advice: "the file system is mounted read-only, as the kernel does after an error of the device: look into the kernel's log, check the file system, then mount it for writing" },
    Row { errnos: &[Errno::UCLEAN, Errno::BADMSG, Errno::ILSEQ], trouble: Trouble::Broken,
        advice: "the file system itself is damaged: stop the broker, keep a copy of the volume, then check it with the file system's own tool" },
    Row { errnos: &[Errno::ACCESS, Errno::PERM], trouble: Trouble::Broken,
        advice: "the broker's user may not do this: give it the directory of log.dirs and all below it (chown, fsGroup)" },
    Row { errnos: &[Errno::NOENT, Errno::NOTDIR, Errno::ISDIR, Errno::NOTEMPTY, Errno::EXIST, Errno::LOOP], trouble: Trouble::Broken,
        advice: "files of the broker were moved, replaced or hidden while it ran: check what is mounted at log.dirs and put back what was taken away" },
    Row { errnos: &[Errno::FBIG, Errno::OVERFLOW], trouble: Trouble::Broken,
        advice: "a file may not grow that far: raise the limit of the file size (ulimit -f), or take a file system that holds larger files" },
    Row { errnos: &[Errno::STALE, Errno::TIMEDOUT, Errno::NOTCONN, Errno::HOSTDOWN, Errno::HOSTUNREACH, Errno::CONNRESET, Errno::PIPE, Errno::SHUTDOWN], trouble: Trouble::Broken,
        advice: "the volume is out of reach: bring the storage behind it back and mount it anew; what is on it stays as it is" },
    Row { errnos: &[Errno::NAMETOOLONG, Errno::MLINK], trouble: Trouble::Broken,
        advice: "the file system does not take such a name or so many entries: use one that takes names of 255 bytes" },
    Row { errnos: &[Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::BADF, Errno::SPIPE, Errno::TXTBSY, Errno::XDEV, Errno::FAULT], trouble: Trouble::Broken,
        advice: "the file system does not know a call that the broker needs: use ext4 or XFS on a local or attached volume" },
];

/// For an error that carries no number of the system: what was read is not what was written.
const UNKNOWN_ADVICE: &str = "keep the files as they are and look into the kernel's log; while other replicas lead, the broker can be given an empty volume and fetches all anew";

fn row(error: &io::Error) -> Option<&'static Row> {
    let errno = Errno::from_io_error(error).or(match error.kind() {
        io::ErrorKind::StorageFull => Some(Errno::NOSPC),
        io::ErrorKind::QuotaExceeded => Some(Errno::DQUOT),
        io::ErrorKind::OutOfMemory => Some(Errno::NOMEM),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => Some(Errno::AGAIN),
        _ => None,
    })?;
    TABLE.iter().find(|row| row.errnos.contains(&errno))
}

/// What an error leaves; see [`Trouble`].
pub fn trouble(error: &io::Error) -> Trouble {
    row(error).map_or(Trouble::Broken, |row| row.trouble)
}

/// What a person can do about an error of the disk, as part of a sentence. It never costs data to follow it.
pub fn advice(error: &io::Error) -> &'static str {
    row(error).map_or(UNKNOWN_ADVICE, |row| row.advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that Linux gives to errors of files and of the storage behind them.
    const MET: [i32; 30] = [
        1, 2, 4, 5, 6, 9, 11, 12, 13, 16, 17, 19, 20, 21, 22, 23, 24, 26, 27, 28, 30, 36, 37, 38, 39, 40, 75,
        95, 116, 117,
    ];

    #[test]
    fn every_error_of_a_disk_has_its_own_advice() {
        for number in MET.into_iter().chain([31, 32, 84, 105, 107, 108, 110, 112, 113, 121, 122, 123]) {
            let error = io::Error::from_raw_os_error(number);
            assert_ne!(advice(&error), UNKNOWN_ADVICE, "{error}");
        }
    }

    #[test]
    fn no_error_stands_in_two_rows() {
        let mut all: Vec<i32> =
            TABLE.iter().flat_map(|row| row.errnos).map(|errno| errno.raw_os_error()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn no_advice_removes_files_of_the_broker() {
        for advice in TABLE.iter().map(|row| row.advice).chain([UNKNOWN_ADVICE]) {
            for word in ["remove", "rm ", "wipe", "format", "mkfs", "delete the", "empty the", "folder"] {
                assert!(!advice.contains(word), "{word:?} in {advice:?}");
            }
        }
    }

    #[test]
    fn only_what_leaves_the_files_as_they_were_is_survivable() {
        let trouble = |number| trouble(&io::Error::from_raw_os_error(number));
        assert_eq!([28, 122].map(trouble), [Trouble::NoSpace; 2]);
        assert_eq!([23, 24, 12].map(trouble), [Trouble::Exhausted; 3]);
        assert_eq!([5, 30, 116, 117, 2].map(trouble), [Trouble::Broken; 5]);
        assert_eq!(super::trouble(&io::Error::other("unknown")), Trouble::Broken);
        assert_eq!(super::trouble(&io::ErrorKind::StorageFull.into()), Trouble::NoSpace);
    }
}
