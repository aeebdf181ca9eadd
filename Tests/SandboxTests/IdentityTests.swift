import Glibc
import Testing

@testable import Sandbox

@Suite struct IdentityTests {
    @Test func noTwoLiveWorkersShareAUser() {
        let pool = WorkerUsers()
        let taken = (0..<1000).map { _ in pool.take() }
        #expect(Set(taken.map(\.uid)).count == 1000)
        #expect(taken.allSatisfy { $0.uid >= 1000 })
    }

    @Test func aUserIsNotGivenOutAgainAtOnce() {
        let pool = WorkerUsers()
        let first = pool.take()
        pool.give(back: first)
        #expect(pool.take() != first)
    }

    @Test func usersComeRoundAndThoseInUseAreSkipped() {
        let pool = WorkerUsers()
        let kept = pool.take()
        var seen: Set<UInt32> = []
        for _ in 0..<(2 * Int(UserMap.count)) {
            let identity = pool.take()
            seen.insert(identity.uid)
            pool.give(back: identity)
        }
        #expect(!seen.contains(kept.uid))
        #expect(seen.count == Int(UserMap.count) - 1000 - 1)
        #expect(seen.max()! < UserMap.count)
    }

    @Test func workersHaveUsersOfTheirOwnOnlyUnderRoot() {
        if geteuid() != 0 { #expect(!WorkerUsers.isAvailable) }
        let map = UserMap.available
        #expect(WorkerUsers.isAvailable ? map.userFirst == UserMap.first : map.userFirst == geteuid())
        #expect(WorkerUsers.isAvailable || map.count == 1)
    }
}
