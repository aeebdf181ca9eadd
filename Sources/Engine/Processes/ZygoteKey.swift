import Sandbox
import System

/// The properties that a zygote must have for a model: workers of one zygote share its packages, and all that it can see.
///
/// A zygote sees everything that any model of its plan may read; each worker hides from itself the paths that its model may not.
struct ZygoteKey: Hashable {
    /// The environment's id.
    var environment: String
    /// Its interpreter: another plan may mean another one by the same id.
    var python: String
    /// The modules that it imports before it forks.
    var modules: [String]
    /// Whether its workers may use the network.
    var hasNetwork: Bool
    /// The project's folder.
    var project: String
    /// The paths that it shows: the project's folder, and those that hold sources outside of it.
    var shown: [String]
    /// The identity of each of these, "-" for one that is not there: a folder of the same name that is made later is not the one
    /// that a running zygote shows.
    var places: [String]

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
