import ArgumentParser
import Engine

/// `zerrow serve`: one engine for all runs of a user.
struct ServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Keep an engine that all runs of this user share.",
        discussion: """
            Its zygotes and shared memory stay warm, and it divides its cores among all runs: evenly, interactive runs before those with \
            --batch, none of them for ever waiting. 'zerrow run' and 'zerrow query' find it by its socket, which nobody else can open, and \
            work without it where it is not there. Ctrl-C cancels the runs and ends it. A client that is killed \
            cancels its run.

            It keeps results of models and decoded columns of sources for later runs, as long as there is memory. SIGUSR1 makes it forget them.

            The socket: --socket, else ZERROW_SOCKET, else $XDG_RUNTIME_DIR/zerrow/engine.sock, else /tmp/zerrow-UID/engine.sock.

              zerrow serve &
              zerrow run -p examples/tpch
            """)

    @OptionGroup var engineOptions: EngineOptionGroup

    @Option(name: .long, help: ArgumentHelp("Where to listen.", valueName: "path"))
    var socket: String?

    func run() { CommandRun.serve(engineOptions, socket: socket) }
}
