import Sandbox
import System

/// The properties that a zygote must have for a model: workers of one zygote share its packages, and all that it can see.
///
/// A zygote sees the project's folder, and no source outside of it; each worker hides from itself the parts not meant for models.
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
    /// The identity of that folder, "-" if it is not there: a folder of the same name that is made later is not the one that a
    /// running zygote shows.
    var place: String
}

extension ZygoteKey {
    /// The key of a model of a plan.
    init(_ model: Plan.Model, of plan: Plan, seeing view: WorkerView) {
        guard let declared = plan.environments.first(where: { $0.id == model.environment }) else {
            preconditionFailure("a plan with an unknown environment was not refused")
        }
        environment = declared.id
        python = declared.python
        modules = declared.modules
        hasNetwork = model.network
        project = plan.project.folder
        place = view.place
    }

    /// The key of a zygote that is started for a project before its plan is there: the default environment's, of no model yet.
    init(early installation: Installation, project folder: String) {
        let (place, name) = (Path.parent(installation.python), installation.python.split(separator: "/").last ?? "")
        environment = ""
        python = (Path.resolved(place) ?? place) + "/" + name
        modules = []
        hasNetwork = false
        project = folder
        self.place = Files.place(folder) ?? "-"
    }

    /// Whether it is not known yet what the zygote imports.
    var isEarly: Bool { environment.isEmpty }

    /// The key of the zygote that may have been started early, and can become this one's.
    var early: ZygoteKey {
        var early = self
        early.environment = ""
        early.modules = []
        return early
    }

    /// The key as the scheduler's environment; unique.
    var name: String {
        let own = [environment, python, project, place, hasNetwork ? "network" : "", modules.joined(separator: ",")]
        return own.joined(separator: "\u{1f}")
    }
}
