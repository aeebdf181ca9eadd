import Engine
import Glibc
import Synchronization
import System
import Terminal

/// The command's output: results go to stdout, everything else to stderr.
enum Output {
    /// Prints an error so that it is found: its first line, and no other, starts with `error:`. The text of a model's exception can
    /// neither drive the terminal nor look like a line of ours.
    static func error(_ message: String) {
        write(
            errorMark + ": " + message.linesWithoutControls(keepingColours: isColoured(2)).withRestIndented + "\n",
            to: 2)
    }

    /// Prints what is wrong with a command line, in the words of its parser, which begin with `Error:`.
    static func usageError(_ message: String) {
        let text = message.linesWithoutControls(keepingColours: isColoured(2))
        write("\(text.hasPrefix("Error:") ? errorMark + text.dropFirst(5) : errorMark + ": " + text)\n", to: 2)
    }

    private static var errorMark: String { isColoured(2) ? "\u{1b}[1;31merror\u{1b}[0m" : "error" }

    /// Prints a line of progress or advice.
    static func note(_ text: String) { write(text + "\n", to: 2) }

    /// Opens /dev/null in place of standard streams that are closed: a file of ours would get their number, and our output. Standard
    /// output can't be written to then, as it can't where it is closed: a result that goes nowhere is an error.
    static func openMissingStreams() {
        for number in Int32(0)...2 where fcntl(number, F_GETFD) < 0 {
            // The lowest free number is the one that is missing.
            _ = open("/dev/null", number == 1 ? O_RDONLY : O_RDWR)
        }
    }

    /// Makes writes fail that would kill the process: a reader that goes away, or a file that gets too long, ends no run half way. What is
    /// started from here does not inherit it.
    static func takeWriteSignals() {
        for number in [SIGPIPE, SIGXFSZ] {
            let before = signal(number) { _ in }
            // Who started us wants it ignored, by us and by whom we start.
            guard Int(bitPattern: unsafeBitCast(before, to: UnsafeRawPointer?.self)) == 1 else { continue }
            signal(number, SIG_IGN)
            if number == SIGPIPE { pipeSignalIsIgnored.store(true, ordering: .relaxed) }
        }
    }

    private static let pipeSignalIsIgnored = Atomic(false)
    /// Why standard output does not have all of the result; 0 when it has.
    private static let resultError = Atomic<Int32>(0)

    /// Whether standard output has taken all of the result until now.
    static var hasResult: Bool { resultError.load(ordering: .relaxed) == 0 }

    /// Prints a result. When it can't be printed, `leave` says so.
    static func result(_ text: String) {
        if hasResult { resultError.store(write(text + "\n", to: 1), ordering: .relaxed) }
    }

    /// Prints a part of a result as it is.
    ///
    /// - Returns: whether standard output takes more.
    static func result(bytes: [UInt8]) -> Bool {
        if hasResult { resultError.store(bytes.withUnsafeBytes { write($0, to: 1) }, ordering: .relaxed) }
        return hasResult
    }

    /// Whether colours are welcome on a descriptor: it is a terminal, and neither NO_COLOR nor a dumb TERM speaks against it.
    static func isColoured(_ descriptor: Int32) -> Bool {
        guard isatty(descriptor) == 1, getenv("NO_COLOR") == nil else { return false }
        return getenv("TERM").map { strcmp($0, "dumb") != 0 } ?? false
    }

    /// The terminal's columns; 120 where there is none.
    static func columns(_ descriptor: Int32) -> Int {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 120 }
        return Int(size.ws_col)
    }

    /// The terminal's rows; 24 where there is none.
    static func rows(_ descriptor: Int32) -> Int {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0 else { return 24 }
        return Int(size.ws_row)
    }

    /// Ends the process. Nothing of ours is left to clean up by then.
    ///
    /// A result that standard output has not taken is an error, of code 1. When its reader has what it wanted and is gone, as `head` is, the
    /// process ends quietly, by the signal that ends any other one then.
    static func leave(_ code: Int32) -> Never {
        fflush(nil)
        // Some file systems tell only now that there was no room.
        if hasResult, close(1) != 0, errno != EBADF, errno != EINTR { resultError.store(errno, ordering: .relaxed) }
        let failure = resultError.load(ordering: .relaxed)
        if failure == 0 { exit(code) }
        if failure == EPIPE, !pipeSignalIsIgnored.load(ordering: .relaxed) { endByPipeSignal() }
        error("standard output did not take all of the result: \(SystemError.reason(failure))")
        exit(1)
    }

    /// Ends the process as a reader that goes away ends any.
    static func endByPipeSignal() -> Never {
        signal(SIGPIPE, SIG_DFL)
        raise(SIGPIPE)
        exit(1)
    }

    /// Where a signal to the process arrives, and stays open for as long as there may be something to write; nil while signals end
    /// the process by themselves.
    private static let interruption = Mutex<SignalDescriptor?>(nil)

    /// Whether a signal has ended such a wait: nothing is waited for after that, or one signal would not be enough.
    private static let isInterrupted = Atomic(false)

    /// Has a signal end the wait for a reader that does not read, from now on. The signal stays there, for whoever acts on it.
    static func stopWaiting(on signals: SignalDescriptor) { interruption.withLock { $0 = signals } }

    /// Writes all of a text, unless a signal arrives while its reader does not read.
    ///
    /// - Returns: 0, or why it could not be written. Of what is said on standard error nobody needs to know: it changes no result.
    @discardableResult
    static func write(_ text: String, to descriptor: Int32) -> Int32 {
        var text = text
        return text.withUTF8 { write(UnsafeRawBufferPointer($0), to: descriptor) }
    }

    private static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
        var rest = bytes
        while !rest.isEmpty {
            guard waitForRoom(descriptor) else { return EINTR }
            // What is polled writable takes so much at once without waiting (pipe(7)).
            let count = Glibc.write(descriptor, rest.baseAddress!, min(rest.count, Int(PIPE_BUF)))
            if count < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                return errno
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
        return 0
    }

    /// Waits until a descriptor takes bytes, or fails; false when a signal arrives before that, or has arrived before.
    private static func waitForRoom(_ descriptor: Int32) -> Bool {
        var entries = [
            pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0),
            pollfd(fd: interruption.withLock { $0?.raw } ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        let timeout: Int32 = isInterrupted.load(ordering: .relaxed) ? 0 : -1
        while poll(&entries, nfds_t(entries.count), timeout) < 0, errno == EINTR {}
        if entries[0].revents == 0 { isInterrupted.store(true, ordering: .relaxed) }
        return entries[0].revents != 0
    }
}
