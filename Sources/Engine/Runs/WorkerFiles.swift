import Sandbox
import System

/// The files that all workers of a run are handed, each made when the first one needs it.
final class WorkerFiles {
    /// What workers see of the project.
    let view: WorkerView
    private let plan: Plan
    private var code: DescriptorBox?
    /// The view as a file, by the zygote that reads it.
    private var views: [ZygoteKey: DescriptorBox] = [:]

    init(_ plan: Plan, seeing view: WorkerView) {
        self.plan = plan
        self.view = view
    }

    /// What a zygote's worker sees, as a file: there may be thousands of folders.
    func view(for key: ZygoteKey, _ zygote: Zygote) throws -> DescriptorBox {
        if let file = views[key] { return file }
        let content = view.json(tmp: zygote.shownBelowTmp)
        let file = DescriptorBox(try FileDescriptor.sealedMemory(named: "view", content.utf8))
        views[key] = file
        return file
    }

    /// The project's code; nil for a model that has none.
    func code(for model: Plan.Model) throws -> DescriptorBox? {
        guard model.kind == "python", let handedOver = plan.handedOver, !handedOver.isEmpty else { return nil }
        if let code { return code }
        let file = DescriptorBox(try FileDescriptor.sealedMemory(named: "code", [UInt8](handedOver)))
        code = file
        return file
    }
}
