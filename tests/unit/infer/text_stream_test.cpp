// What is handed on while text is generated: whole characters, and nothing of a stop text.
#include "core/infer/text_stream.hpp"

#include <gtest/gtest.h>

#include <random>

#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

using Texts = std::vector<std::string>;

/// What comes out after each push, and at the end.
struct Sent {
  Texts pieces;
  std::string text;
  bool stopped = false;

  std::string all() const {
    std::string joined;
    for (const std::string& p : pieces) joined += p;
    return joined;
  }
};

Sent stream(const Texts& tokens, const Texts& stop = {}) {
  Sent sent;
  std::string piece;
  const TextSink sink = [&](std::string_view text) {
    piece += text;
    return true;
  };
  TextStream s(stop, sink);
  for (const std::string& token : tokens) {
    piece.clear();
    const bool more = s.push(token);
    sent.pieces.push_back(piece);
    if (!more) break;
  }
  piece.clear();
  if (!s.stopped()) s.finish();
  sent.pieces.push_back(piece);
  sent.text = s.text();
  sent.stopped = s.stopped();
  return sent;
}

TEST(TextStream, HandsTextOnAtOnce) {
  EXPECT_EQ(stream({"The", " river", "."}).pieces, (Texts{"The", " river", ".", ""}));
}

TEST(TextStream, HoldsAHalfCharacterBack) {
  EXPECT_EQ(stream({"a\xC3", "\xA9", "b"}).pieces, (Texts{"a", "é", "b", ""}));
  EXPECT_EQ(stream({"\xE2", "\x82", "\xAC"}).pieces, (Texts{"", "", "€", ""}));
  EXPECT_EQ(stream({"x\xF0\x9F", "\x8C", "\x8Ay"}).pieces, (Texts{"x", "", "🌊y", ""}));
}

TEST(TextStream, WhatNeverBecomesACharacterIsReplaced) {
  EXPECT_EQ(stream({"a\xC3"}).pieces, (Texts{"a", "\uFFFD"}));
  EXPECT_EQ(stream({"\xE2\x82", "z"}).pieces, (Texts{"", "\uFFFDz", ""}));
  EXPECT_EQ(stream({"\x80\xFF"}).text, "\uFFFD\uFFFD");
}

TEST(TextStream, AStopTextIsNeverSeen) {
  const Sent s = stream({"one\n", "Us", "er", ": two"}, {"\nUser:"});
  EXPECT_EQ(s.pieces, (Texts{"one", "", "", "", ""}));
  EXPECT_EQ(s.text, "one");
  EXPECT_TRUE(s.stopped);
}

TEST(TextStream, ABeginningThatGoesOnOtherwiseIsHandedOn) {
  const Sent s = stream({"one\n", "Us", "ual", "ly\nUs"}, {"\nUser:"});
  EXPECT_EQ(s.pieces, (Texts{"one", "", "\nUsual", "ly", "\nUs"}));
  EXPECT_FALSE(s.stopped);
}

TEST(TextStream, TheFirstStopTextInTheTextCounts) {
  EXPECT_EQ(stream({"a b c d"}, {"d", "b"}).text, "a ");
  EXPECT_EQ(stream({"ab", "c"}, {"bc", "abcd"}).text, "a");  // abcd may begin, bc is there
  EXPECT_EQ(stream({"aab", ""}, {"ab"}).text, "a");          // a beginning within a beginning
}

TEST(TextStream, ASinkMayStop) {
  int calls = 0;
  const TextSink sink = [&](std::string_view) { return ++calls < 2; };
  const Texts none;
  TextStream s(none, sink);
  EXPECT_TRUE(s.push("a"));
  EXPECT_FALSE(s.push("b"));
  EXPECT_FALSE(s.stopped());
  EXPECT_EQ(s.text(), "ab");
}

// However the bytes are split, what is handed on is the text before the first stop text.
TEST(TextStream, TheSplitIntoTokensDoesNotMatter) {
  std::mt19937 random(3);
  const Texts alphabet = {"a", "b", "é", "€", "🌊", "\xC3", "\x9F", "\xF0\x9F"};
  const auto draw = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  int stopped = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (std::size_t i = 0, n = draw(12); i < n; ++i) bytes += alphabet[draw(alphabet.size())];
    Texts stop;
    for (std::size_t i = 0, n = draw(3); i < n; ++i) {
      std::string s;
      for (std::size_t k = 0, m = 1 + draw(3); k < m; ++k) s += alphabet[draw(5)];
      stop.push_back(s);
    }
    Texts tokens;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t n = 1 + draw(3);
      tokens.push_back(bytes.substr(at, n));
      at += n;
    }
    // With several stop texts the one that is complete first ends the text.
    std::size_t end = std::string::npos, seen = 0;
    for (const std::string& token : tokens) {
      seen += token.size();
      for (const std::string& s : stop) end = std::min(end, bytes.substr(0, seen).find(s));
      if (end != std::string::npos) break;
    }
    const Sent sent = stream(tokens, stop);
    EXPECT_EQ(sent.text, utf8_lossy(bytes.substr(0, end)));
    EXPECT_EQ(sent.all(), sent.text);
    EXPECT_EQ(sent.stopped, end != std::string::npos);
    for (const std::string& piece : sent.pieces) EXPECT_TRUE(is_utf8(piece));
    stopped += sent.stopped ? 1 : 0;
  }
  EXPECT_GT(stopped, 200);
}

}  // namespace
}  // namespace graft::core
