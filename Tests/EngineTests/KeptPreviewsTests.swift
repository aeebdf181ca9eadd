import Store
import Testing

@testable import Engine

@Suite("The previews of kept results")
struct KeptPreviewsTests {
    private func format(rows: Int = 10, width: Int = 100, isTail: Bool = false) -> PreviewFormat {
        var options = RunOptions()
        (options.previewRows, options.previewWidth, options.previewsTail) = (rows, width, isTail)
        return PreviewFormat(options)
    }

    private func table(_ number: UInt64) -> TableID { TableID(rawValue: number) }

    @Test func eachTableAndFormatHasATextOfItsOwn() {
        var previews = KeptPreviews()
        let formats = [format(), format(rows: 3), format(width: 20), format(isTail: true)]
        for number in UInt64(1)...3 {
            for (place, each) in formats.enumerated() {
                #expect(previews.text(of: table(number), as: each) == nil)
                previews.add("\(number) \(place)", of: table(number), as: each)
            }
        }
        previews.remove(table(2))
        for number in UInt64(1)...3 {
            for (place, each) in formats.enumerated() {
                #expect(previews.text(of: table(number), as: each) == (number == 2 ? nil : "\(number) \(place)"))
            }
        }
    }

    @Test func aLongTextIsNotKept() {
        var previews = KeptPreviews()
        let text = String(repeating: "x", count: KeptPreviews.textBytesMax)
        previews.add(text + "x", of: table(1), as: format())
        #expect(previews.text(of: table(1), as: format()) == nil)
        previews.add(text, of: table(1), as: format())
        #expect(previews.text(of: table(1), as: format()) == text)
    }

    @Test func allTextsTogetherAreBounded() {
        var previews = KeptPreviews()
        let text = String(repeating: "x", count: KeptPreviews.textBytesMax)
        let countMax = KeptPreviews.bytesMax / KeptPreviews.textBytesMax
        func keptCount() -> Int {
            (0..<3 * countMax).count { previews.text(of: table(UInt64($0)), as: format()) != nil }
        }
        for number in 0..<3 * countMax {
            previews.add(text, of: table(UInt64(number)), as: format())
            #expect(previews.text(of: table(UInt64(number)), as: format()) == text)
            #expect(keptCount() <= countMax)
        }
        // What was removed makes room.
        for number in 0..<3 * countMax { previews.remove(table(UInt64(number))) }
        for number in 0..<countMax { previews.add(text, of: table(UInt64(number)), as: format()) }
        #expect(keptCount() == countMax)
    }
}
