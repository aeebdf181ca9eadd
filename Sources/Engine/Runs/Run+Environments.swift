import System

/// A run as a user of environments: its zygotes start when the environments that their models ask for are there.
extension Run {
    /// Has an environment be there and stay, then goes on; what the models of the zygote need is there from the start if it is the default one.
    func provideEnvironment(for key: ZygoteKey, then: @escaping (Result<EnvironmentHold?, any Error>) -> Void) {
        // A zygote that is there keeps its environment.
        guard engine.zygotes[key] == nil, let environment = plan.environments.first(where: { $0.id == key.environment }),
            environment.version != nil
        else { return then(.success(nil)) }
        engine.environments.provide(environment, to: number) { [weak self] text in
            self?.observer?.note(text)
        } then: { result in
            then(result.map { $0 })
        }
    }
}
