import Engine
import Glibc
import Terminal

/// The command's output: results go to stdout, everything else to stderr.
enum Output {
    /// Prints an error so that it is found: one line starts with `error:`. The text of a model's exception cannot drive the
    /// terminal.
    static func error(_ message: String) {
        let text = message.linesWithoutControls(keepingColours: isColoured(2))
        let mark = isColoured(2) ? "\u{1b}[1;31merror\u{1b}[0m" : "error"
        write("\(text.hasPrefix("Error:") ? mark + text.dropFirst(5) : mark + ": " + text)\n", to: 2)
    }

    /// Prints a line of progress or advice.
    static func note(_ text: String) { write(text + "\n", to: 2) }

    /// Opens /dev/null in place of standard streams that are closed: a file of ours would get their number, and our output.
    static func openMissingStreams() {
        for number in Int32(0)...2 where fcntl(number, F_GETFD) < 0 {
            // The lowest free number is the one that is missing.
            _ = open("/dev/null", O_RDWR)
        }
    }

    /// Prints a result.
    static func result(_ text: String) { write(text + "\n", to: 1) }

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
    static func leave(_ code: Int32) -> Never {
        fflush(nil)
        exit(code)
    }

    /// Writes all of a text. A reader that went away ends the process quietly, as `head` expects.
    static func write(_ text: String, to descriptor: Int32) {
        var text = text
        text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, rest.baseAddress!, rest.count)
                if count < 0 {
                    if errno == EINTR { continue }
                    if errno == EAGAIN {
                        var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                        Glibc.poll(&poll, 1, -1)
                        continue
                    }
                    return
                }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
        }
    }
}
