import CLinux
import Glibc
import Testing

@testable import System

private let page = 4096
private let moved = UInt8(KERNELZERO_MOVED.rawValue)
private let edge = UInt8(KERNELZERO_COPIED_EDGE.rawValue)
private let shared = UInt8(KERNELZERO_COPIED_SHARED.rawValue)

/// A range of addresses that nobody reads.
private func range(_ start: Int, _ count: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: start), count: count)
}

/// Plays the kernel: appends what it is asked for, unless a range has memory that can't be taken.
private final class Script {
    var info = KernelZero.Info(abi: 1, features: 1, rangesMax: 1024, bytesMax: 1 << 40, version: "script")
    var untakeable: Set<UInt> = []
    var errno: Int32 = 0
    private(set) var calls: [[Range<UInt>]] = []
    private(set) var aligned: [Bool] = []
    private var end: UInt64 = 1 << 20

    func move(_ memory: [UnsafeRawBufferPointer]) -> Deanonymization {
        Deanonymization(memory, info) { (ranges, alignsHuge) throws(SystemError) in
            calls.append(ranges)
            aligned.append(alignsHuge)
            if errno != 0 { throw SystemError(.deanonymize, errno: errno, context: "a script") }
            if ranges.contains(where: { untakeable.contains($0.lowerBound) }) {
                throw SystemError(.deanonymize, errno: EOPNOTSUPP, context: "a script")
            }
            var answer = KernelZero.Answer(offsets: [], pages: [], fileBytes: 0)
            for range in ranges {
                answer.offsets.append(end + UInt64(range.lowerBound) % UInt64(page))
                for number in 0..<Deanonymization.pageCount(range) {
                    let start = (range.lowerBound / UInt(page) + UInt(number)) * UInt(page)
                    let isWhole = start >= range.lowerBound && start + UInt(page) <= range.upperBound
                    answer.pages.append(isWhole ? moved : edge)
                    end += UInt64(page)
                }
            }
            answer.fileBytes = end
            return answer
        }
    }
}

@Suite struct DeanonymizationTests {
    @Test func everythingGoesInOneCallAndEveryByteIsCountedOnce() {
        let script = Script()
        let memory = [range(100 * page + 64, 3 * page), range(200 * page, 2 * page), range(300 * page + 1, 10)]
        let done = script.move(memory)
        #expect(script.calls.count == 1 && script.aligned == [false])
        #expect(done.offsets == [(1 << 20) + 64, (1 << 20) + UInt64(4 * page), (1 << 20) + UInt64(6 * page + 1)])
        #expect(done.movedBytes + done.copiedBytes == UInt64(memory.reduce(0) { $0 + $1.count }))
        #expect(done.copiedBytes == UInt64(page - 64 + 64 + 10))
        #expect(done.pages.moved == 4 && done.pages.copiedEdge == 3 && done.pages.ranges == 3)
        #expect(done.fileBytes == UInt64((1 << 20) + 7 * page))
    }

    @Test func rangesThatTouchAreOneSoThatTheirBorderIsNoEdge() {
        let script = Script()
        let done = script.move([
            range(10 * page, page + 8), range(11 * page + 8, page - 8), range(12 * page + 64, page),
        ])
        #expect(script.calls == [[UInt(10 * page)..<UInt(12 * page), UInt(12 * page + 64)..<UInt(13 * page + 64)]])
        #expect(done.offsets[1] == done.offsets[0]! + UInt64(page + 8))
        #expect(done.copiedBytes == UInt64(page))
        #expect(done.movedBytes == UInt64(2 * page))
    }

    @Test func paddingBetweenRangesGoesWithThemAndIsInNoCount() {
        let script = Script()
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 6 * page, alignment: page)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        func part(_ start: Int, _ count: Int) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: memory[start..<start + count])
        }
        // The second begins 40 bytes behind the first; between it and the third there is a byte of somebody else.
        let ranges = [part(0, 2 * page - 20), part(2 * page + 20, page), part(3 * page + 40, page)]
        memory[3 * page + 30] = 1
        let done = script.move(ranges)
        let start = UInt(bitPattern: memory.baseAddress)
        #expect(
            script.calls == [
                [start..<start + UInt(3 * page + 20), start + UInt(3 * page + 40)..<start + UInt(4 * page + 40)]
            ])
        #expect(done.offsets[1] == done.offsets[0]! + UInt64(2 * page + 20))
        #expect(done.movedBytes + done.copiedBytes == UInt64(ranges.reduce(0) { $0 + $1.count }))
        // Edges: 20 bytes of the second range, and all of the third, which shares both its pages.
        #expect(done.copiedBytes == UInt64(20 + page))
        #expect(done.pages.ranges == 2)
    }

    @Test func aCallTakesNoMoreThanFourGibibytesUnlessOneRangeDoes() {
        let info = KernelZero.Info(abi: 1, features: 0, rangesMax: 1024, bytesMax: 64 << 30, version: "none")
        let sizes = [3, 1, 1, 6, 2, 2, 70]
        var start = 1 << 40
        let memory = sizes.map { size in
            defer { start += (size + 1) << 30 }
            return range(start, size << 30)
        }
        // Two that touch go together only as far as a call takes them.
        let touching = [range(1 << 45, 3 << 30), range(1 << 45 + 3 << 30, 2 << 30)]
        let spans = MemorySpan.join(memory + touching, bytesMax: Deanonymization.callBytesMax)
        let batches = Deanonymization.batches(spans, rangesMax: info.rangesMax, bytesMax: info.bytesMax)
        #expect(batches.map { $0.map { $0.bytes.count >> 30 } } == [[3, 1], [1], [6], [2, 2], [3], [2]])
    }

    @Test func onlyWhatCannotBeTakenStays() {
        let script = Script()
        let memory = (1...20).map { range($0 * 100 * page, page) }
        script.untakeable = [UInt(300 * page), UInt(1100 * page), UInt(1200 * page)]
        let done = script.move(memory)
        for (place, offset) in zip(memory, done.offsets) {
            #expect((offset == nil) == script.untakeable.contains(UInt(bitPattern: place.baseAddress)))
        }
        #expect(done.pages.refusedRanges == 3 && done.pages.ranges == 17 && done.pages.refusal == EOPNOTSUPP)
        #expect(done.movedBytes == UInt64(17 * page))
    }

    @Test func whatIsJoinedIsTakenApartAgainWhereAPartCannotBeTaken() {
        let script = Script()
        let memory = (1...8).map { range($0 * page, page) }
        script.untakeable = [UInt(3 * page)]
        let whole = script.move(memory)
        // The script knows ranges by their beginning: the joined one begins elsewhere.
        #expect(script.calls.count == 1 && whole.movedBytes == UInt64(8 * page))
        script.untakeable = [UInt(page)]
        let parts = script.move(memory)
        #expect(parts.offsets.map { $0 == nil } == [true] + [Bool](repeating: false, count: 7))
        #expect(parts.movedBytes == UInt64(7 * page) && parts.pages.refusedRanges == 1 && parts.pages.ranges == 3)
    }

    @Test(arguments: [ENOMEM, ENOSPC, EFBIG, EPERM, ENOTTY, EBADF, EINVAL, E2BIG])
    func anyOtherFailureLeavesAllInItsPlaceAfterOneCall(errno: Int32) {
        let script = Script()
        script.errno = errno
        let done = script.move([range(10 * page, page), range(20 * page, page)])
        #expect(script.calls.count == 1)
        #expect(done.offsets == [nil, nil] && done.fileBytes == nil)
        #expect(done.movedBytes == 0 && done.copiedBytes == 0)
        #expect(done.pages.refusedRanges == 2 && done.pages.refusal == errno)
    }

    @Test func aCallThatFailsByAnInjectedFaultMovesNothing() throws {
        let null = DescriptorBox(try FileDescriptor.open("/dev/null"))
        let module = KernelZero(null, Script().info)
        let file = try FileDescriptor.memory(named: "test", bytes: 4096, sealable: true)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 9)
        let plan = FaultPlan(.deanonymize, errno: ENOMEM)
        let done = plan.apply { Deanonymization([UnsafeRawBufferPointer(memory)], into: file, by: module) }
        #expect(plan.calls == [.deanonymize] && plan.fired.count == 1)
        #expect(done.offsets == [nil] && done.pages.refusal == ENOMEM)
        #expect(memory.allSatisfy { $0 == 9 })
        #expect(try file.status().bytes == 4096)
    }

    @Test func aCallTakesNoMoreThanTheModuleAllows() {
        let script = Script()
        script.info.rangesMax = 3
        script.info.bytesMax = UInt64(4 * page)
        let sizes = [1, 1, 1, 1, 3, 5, 2, 2, 1]
        let memory = sizes.enumerated().map { range(($0 + 1) * 100 * page, $1 * page) }
        let done = script.move(memory)
        #expect(done.offsets.map { $0 == nil } == sizes.map { $0 == 5 })
        for call in script.calls {
            #expect(call.count <= 3 && call.reduce(0) { $0 + $1.count } <= 4 * page)
        }
        script.info.rangesMax = 0
        #expect(script.move(memory).offsets.allSatisfy { $0 == nil })
    }

    @Test func theLargestGoFirstWhereMappingsAreShort() {
        let memory = (0..<10).map { range(($0 + 1) * 100 * page, ($0 % 4 + 1) * page) }
        let spans = MemorySpan.join(memory)
        #expect(Deanonymization.largest(spans, 4).map(\.members.lowerBound) == [2, 3, 6, 7])
        #expect(Deanonymization.largest(spans, 10) == spans)
    }

    @Test func hugePagesAreAlignedWhereARangeHoldsOne() {
        let huge = UInt(2 << 20)
        #expect(Deanonymization.holdsHugePage(huge..<2 * huge))
        #expect(Deanonymization.holdsHugePage(huge - 5..<2 * huge + 5))
        #expect(!Deanonymization.holdsHugePage(huge + 1..<3 * huge - 1))
        #expect(!Deanonymization.holdsHugePage(4096..<8192))
        let script = Script()
        _ = script.move([range(2 << 20, 2 << 20), range(8 << 20, page)])
        #expect(script.aligned == [true])
        script.info.features = 0
        _ = script.move([range(2 << 20, 2 << 20)])
        #expect(script.aligned == [true, false])
    }

    @Test func bytesOfCopiedPagesAreCountedWithinTheRangeOnly() {
        let bytes = UInt(page + 4000)..<UInt(4 * page + 10)
        let copied = Deanonymization.copiedBytes(bytes, from: UInt(page), [true, false, true, true])
        #expect(copied == UInt64(96 + page + 10))
    }

    @Test func whatALaterModuleMayAnswerIsACopy() {
        var counts = PageCounts()
        #expect(counts.count(moved) && !counts.count(shared) && !counts.count(edge) && !counts.count(0))
        #expect(counts.moved == 1 && counts.copiedShared == 1 && counts.copiedEdge == 1 && counts.copiedOther == 1)
    }
}
