import ArgumentParser
import Engine
import Terminal

/// `zerrow doctor`: what this machine offers, and what to change.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Show what this machine offers zerrow, and what to change.",
        discussion: """
            Checks the kernel's interfaces by using them: namespaces, system call filter, sealed memory files, 2 MiB pages, control groups. \
            Exit code 1 when models cannot be run in a sandbox here.
            """)

    @Option(name: [.customShort("O"), .long], help: "tty: a list for people. json: one JSON object on stdout.")
    var output = OutputFormat.tty

    func run() {
        let checks = Doctor.checks(environment: Environment.variables)
        switch output {
        case .json: Output.result(Doctor.json(checks))
        case .tty: Output.result(Doctor.text(of: checks, style: Style(for: 1)))
        }
        Output.leave(checks.contains { $0.status == .missing } ? 1 : 0)
    }
}
