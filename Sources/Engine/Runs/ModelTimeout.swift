/// How long a model may run, and who said so.
struct ModelTimeout: Equatable {
    let seconds: Double
    /// Where the limit comes from, for the user.
    let source: String

    /// The model's own limit, else that of the run, else that of the project; a scan has none, as nobody writes it. Nil for none.
    init?(of model: Plan.Model, in plan: Plan, _ options: RunOptions) {
        if let seconds = model.timeoutSeconds {
            self.init(seconds, "its own timeout")
        } else if model.kind == "scan" {
            return nil
        } else if let seconds = options.timeoutSeconds {
            self.init(seconds, "--timeout of the run")
        } else if let seconds = plan.timeoutSeconds {
            self.init(seconds, "'timeout' of the project file")
        } else {
            return nil
        }
    }

    private init(_ seconds: Double, _ source: String) {
        self.seconds = seconds
        self.source = source
    }

    /// The limit in words.
    var text: String {
        let number = seconds == seconds.rounded() && seconds < 1e15 ? "\(Int(seconds))" : "\(seconds)"
        return "\(source) is \(number) s"
    }
}
