import Glibc
import System

/// A small process around a command of the project: it ends the command, and all that the command started, when the engine asks
/// for it or is dead.
///
/// The kernel does not end children with their parent, and a command that makes data may run for minutes.
public final class PrepareCommand {
    /// Seconds the command has to clean up after itself once it is told to stop.
    private static let graceMilliseconds = 2000

    private let child: ChildProcess
    /// Nothing is ever written to it; its end tells the process around it to end the command.
    private var pipe: DescriptorBox?

    /// Starts `executable run-prepare ARGUMENTS…`, which calls `serve`. The command prints to descriptor 2. The process around it keeps the turn
    /// for as long as it lives, also when this one is killed.
    init(
        executable: String, arguments: [String], environment: [String: String], turn: PrepareTurn
    ) throws(SystemError) {
        let (reading, writing) = try DescriptorBox.pipe()
        child = try FileDescriptor.withFirstLimit { () throws(SystemError) in
            try ChildProcess(
                [executable, "run-prepare", "--"] + arguments, environment: environment,
                folder: turn.folder.path, output: .descriptor(2), errors: .descriptor(2),
                inherited: [reading.raw, turn.folder.raw])
        }
        pipe = writing
    }

    /// Waits for the end of the command; a signal ends it early, and is thrown as `EngineError.interrupted`.
    func wait(_ signals: SignalDescriptor?) throws -> ChildProcess.Ending {
        let signal = try child.waitForEnd(or: signals)
        pipe = nil
        let ending = try child.wait()
        if signal != nil { throw EngineError.interrupted }
        return ending
    }

    /// The life of the process around the command: runs the command, and ends the process with the command's exit code, 128 and the signal's number
    /// if it was one, or 127 if the command can't be started.
    public static func serve(_ arguments: [String]) -> Never {
        // What the command starts and leaves behind keeps neither.
        for raw: Int32 in [3, 4] { _ = fcntl(raw, F_SETFD, FD_CLOEXEC) }
        // A group of its own, which a Ctrl-C on the terminal does not reach: the engine decides.
        setpgid(0, 0)
        // What the caller ignores stays ignored, as nohup(1) has it.
        let ignored = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTTOU].filter { number in
            let before = signal(number, SIG_IGN)
            return Int(bitPattern: unsafeBitCast(before, to: UnsafeRawPointer?.self)) != 1
        }
        do {
            let child = try ChildProcess(
                arguments, environment: nil, folder: ".", output: .descriptor(1), errors: .descriptor(2),
                defaultSignals: ignored)
            let process = try ProcessDescriptor(process: child.pid)
            let ready = try Poll.wait([(3, .read), (process.raw, .read)])
            if ready[1].isEmpty {
                kill(0, SIGINT)
                _ = try Poll.wait([(process.raw, .read)], timeoutMilliseconds: graceMilliseconds)
                // This process is in the group, too, and has nothing left to do.
                kill(0, SIGKILL)
            }
            switch try child.wait() {
            case .exited(let code): exit(code)
            case .signalled(let number): exit(128 + number)
            }
        } catch {
            Array("\(error)\n".utf8).withUnsafeBytes { _ = write(2, $0.baseAddress, $0.count) }
            exit(127)
        }
    }
}

extension ChildProcess {
    /// Waits until it has ended, which does not reap it, or a signal has arrived, which is returned.
    func waitForEnd(or signals: SignalDescriptor?) throws(SystemError) -> Int32? {
        let process = try ProcessDescriptor(process: pid)
        while true {
            var entries: [(raw: Int32, events: Poll.Events)] = [(process.raw, .read)]
            if let signals { entries.append((signals.raw, .read)) }
            let ready = try Poll.wait(entries)
            // First: a Ctrl-C on the terminal reaches the child as well, and must not look like a failure of it.
            if let signal = try signals?.next() { return signal }
            if !ready[0].isEmpty { return nil }
        }
    }
}
