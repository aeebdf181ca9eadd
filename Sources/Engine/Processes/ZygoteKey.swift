import Sandbox
import System

/// What a zygote must offer to a model: workers of one zygote share its packages, and what it can see.
///
/// A zygote sees all that any model of its plan may read; each worker hides from itself what its model may not.
struct ZygoteKey: Hashable {
    /// The environment's id.
    var environment: String
    /// Its interpreter: another plan may mean another one by the same id.
    var python: String
    /// What it imports before it forks.
    var modules: [String]
    /// Whether its workers may use the network.
    var hasNetwork: Bool
    /// The project's folder.
    var project: String
    /// What it shows: the project's folder, and what holds sources outside of it.
    var shown: [String]
    /// Which folders these are, "-" for one that is not there: another one of the same name, made later, is not what a zygote
    /// shows that has been there before.
    var places: [String]
}

extension ZygoteKey {
    /// The key of a model of a plan.
    init(_ model: Plan.Model, of plan: Plan, _ folders: SourceFolders) {
        guard let declared = plan.environments.first(where: { $0.id == model.environment }) else {
            preconditionFailure("a plan with an unknown environment was not refused")
        }
        environment = declared.id
        python = declared.python
        modules = declared.modules
        hasNetwork = model.network
        project = plan.project.folder
        shown = folders.shown
        places = folders.places
    }

    /// The key as the scheduler's environment; unique.
    var name: String {
        let own = [environment, python, project, hasNetwork ? "network" : "", modules.joined(separator: ",")]
        return (own + shown + places).joined(separator: "\u{1f}")
    }
}
