import CLinux
import Glibc
import System
import Testing

@testable import Sandbox

@Suite struct SandboxErrorTests {
    private func policy(
        isRoot: Bool = false, namespacesMax: Int? = 1000, isCloneAllowed: Bool? = nil,
        isAppArmorRestricting: Bool? = nil, isFiltered: Bool = false
    ) -> NamespacePolicy {
        NamespacePolicy(
            isRoot: isRoot, namespacesMax: namespacesMax, isCloneAllowed: isCloneAllowed,
            isAppArmorRestricting: isAppArmorRestricting, isFiltered: isFiltered)
    }

    @Test func theRemedyNamesTheSettingThatForbids() {
        #expect(policy(namespacesMax: 0).remedy.contains("user.max_user_namespaces"))
        #expect(policy(isCloneAllowed: false).remedy.contains("kernel.unprivileged_userns_clone=1"))
        #expect(policy(isAppArmorRestricting: true).remedy.contains("apparmor_restrict_unprivileged_userns=0"))
        #expect(policy(isFiltered: true).remedy.contains("seccomp=unconfined"))
        #expect(policy().remedy.contains("zerrow doctor"))
    }

    @Test func settingsThatDoNotForbidAreNotNamed() {
        let remedy = policy(isRoot: true, isCloneAllowed: false, isAppArmorRestricting: true).remedy
        #expect(!remedy.contains("unprivileged"))
        #expect(!policy(namespacesMax: 0).remedy.contains("AppArmor"))
    }

    @Test func theWayOutIsAlwaysNamed() {
        for policy in [policy(), policy(namespacesMax: 0), policy(isFiltered: true)] {
            #expect(policy.remedy.hasSuffix("--no-sandbox, which runs models without isolation"))
        }
    }

    @Test(arguments: 1...10) func everyStageSaysWhatWasDone(_ stage: Int32) {
        let entries = [RootEntry(path: "/usr"), RootEntry(path: "/data")]
        let error = SandboxError(zerrow_zygote_failure(stage: stage, error: EACCES, entry: 1), entries)
        #expect(error.description.hasPrefix("the sandbox could not be made: \(error.step): Permission denied"))
        if stage == Int32(ZERROW_STAGE_ENTRY.rawValue) { #expect(error.step == "showing /data to the models") }
    }

    @Test func thePolicyOfThisMachineCanBeRead() {
        #expect(NamespacePolicy.current.isRoot == (geteuid() == 0))
        #expect(NamespacePolicy.current.namespacesMax != nil)
    }
}
