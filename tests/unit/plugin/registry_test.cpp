#include "core/plugin/registry.hpp"

#include <cstdlib>
#include <thread>

#include "tests/unit/plugin/expect.hpp"
#include "tests/unit/plugin/folder.hpp"

namespace graft::core {
namespace {

using test::built;
using test::expect_error;
using test::Folder;
using test::hostile;
using Names = std::vector<std::string>;

RegistryOptions only(std::vector<fs::path> folders) {
  RegistryOptions options;
  options.folders = std::move(folders);
  options.environment = false;
  options.installed = false;
  return options;
}

TEST(Registry, KnowsNamesFromFileNamesAndLoadsOnlyWhatIsAskedFor) {
  const Folder folder;
  folder.add(hostile("good"));
  folder.add(hostile("null_entry"));  // broken, and in nobody's way
  folder.add(hostile("good"), "libsomething.so");
  folder.add(hostile("good"), "libgraft-method-.so");
  folder.add(hostile("good"), "libgraft-teapot-good.so");
  Registry registry(only({folder.path()}));
  EXPECT_EQ(registry.names(PluginKind::kMethod), (Names{"good", "null_entry"}));
  EXPECT_EQ(registry.names(PluginKind::kOptimizer), Names{});
  const graft_method_api& api = registry.method("good");
  EXPECT_STREQ(api.name, "good");
  EXPECT_EQ(&registry.method("good"), &api);
  expect_error([&] { registry.method("null_entry"); }, GRAFT_E_INVALID, {"returned NULL"});
}

TEST(Registry, TellsNearAndKnownNamesAndWhereItLooked) {
  const Folder folder;
  folder.add(hostile("good"));
  folder.add(hostile("no_tables"));
  Registry registry(only({folder.path()}));
  expect_error([&] { registry.method("goood"); }, GRAFT_E_NOT_FOUND,
               {"method 'goood' is not installed", "Did you mean 'good'?",
                "Installed: good, no_tables.", folder.path().string()});
  expect_error([&] { registry.optimizer("good"); }, GRAFT_E_NOT_FOUND,
               {"No optimizer is installed"});
  expect_error([&] { registry.method("../good"); }, GRAFT_E_NOT_FOUND, {"'../good'"});
  expect_error([&] { registry.default_backend(); }, GRAFT_E_NOT_FOUND,
               {"no backend runs on this machine"});
  Registry nothing(only({}));
  expect_error([&] { nothing.method("good"); }, GRAFT_E_NOT_FOUND, {"There is no plugin folder"});
}

TEST(Registry, TheFirstFolderWinsAndTheOtherIsReported) {
  const Folder first, second;
  const fs::path used = first.add(hostile("good"));
  const fs::path hidden = second.add(hostile("good"));
  second.add(hostile("long_table"));
  Registry registry(only({first.path(), second.path(), first.path()}));
  EXPECT_EQ(registry.folders(), (std::vector<fs::path>{first.path(), second.path()}));
  const std::vector<PluginInfo> list = registry.list();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].path, used);
  EXPECT_FALSE(list[0].shadowed);
  EXPECT_EQ(list[0].id, "org.example.good");
  EXPECT_EQ(list[1].path, hidden);
  EXPECT_TRUE(list[1].shadowed);
  EXPECT_EQ(list[2].name, "long_table");
}

TEST(Registry, ListsBrokenPluginsWithWhatIsWrong) {
  const Folder folder;
  folder.add(hostile("good"));
  const fs::path file = folder.add(hostile("long_table"));
  fs::permissions(file, fs::perms(0666));
  Registry registry(only({folder.path()}));
  const std::vector<PluginInfo> list = registry.list();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].problem, "");
  EXPECT_EQ(list[1].path, file);
  EXPECT_NE(list[1].problem.find("may be written by others"), std::string::npos);
  fs::permissions(file, fs::perms(0644));
  EXPECT_NO_THROW(registry.method("long_table")) << "mended, it is taken";
}

TEST(Registry, AFileNameMustTellTheTruth) {
  const Folder folder;
  folder.add(hostile("good"), "libgraft-method-better.so");
  folder.add(hostile("good"), "libgraft-optimizer-good.so");
  Registry registry(only({folder.path()}));
  expect_error([&] { registry.method("better"); }, GRAFT_E_INVALID,
               {"offers the method 'good', not 'better'", "libgraft-method-good.so"});
  expect_error([&] { registry.optimizer("good"); }, GRAFT_E_INVALID, {"offers no optimizer"});
}

TEST(Registry, LoadsByPathOnlyWhenItIsAllowed) {
  const Folder folder, elsewhere;
  folder.add(hostile("good"));
  const fs::path file = elsewhere.add(hostile("good"), "mine.so");
  RegistryOptions options = only({folder.path()});
  Registry closed(options);
  expect_error([&] { closed.load_file(file); }, GRAFT_E_DENIED,
               {"loading by path is switched off", folder.path().string()});
  options.allow_load_by_path = true;
  Registry open(options);
  open.load_file(file);
  EXPECT_EQ(open.info(PluginKind::kMethod, "good").path, file);
  expect_error([&] { open.load_file(file); }, GRAFT_E_BUSY, {"in use already"});
  const fs::path empty = elsewhere.add(hostile("no_tables"));
  expect_error([&] { open.load_file(empty); }, GRAFT_E_INVALID, {"offers no method"});
}

TEST(Registry, TheDefaultBackendIsTheOneThatAnswersHighest) {
  const Folder folder;
  folder.add(hostile("absent", "backend"));
  RegistryOptions options = only({folder.path()});
  Registry nothing(options);
  expect_error([&] { nothing.default_backend(); }, GRAFT_E_NOT_FOUND,
               {"no backend runs on this machine", "Installed: absent."});
  folder.add(hostile("fast", "backend"));
  folder.add(hostile("slow", "backend"));
  const fs::path broken = folder.add(hostile("slow", "backend"), "libgraft-backend-open.so");
  fs::permissions(broken, fs::perms(0666));
  std::string said;
  options.log = Log([&](const LogRecord& r) {
    if (r.level == Level::kWarning) said += r.message;
  });
  Registry registry(options);
  EXPECT_STREQ(registry.default_backend().name, "fast");
  EXPECT_NE(said.find("backend 'open' is passed over: plugin " + broken.string()),
            std::string::npos);
}

TEST(Registry, ReadsGraftPluginPath) {
  const Folder folder;
  folder.add(hostile("good"));
  std::vector<std::string> said;
  RegistryOptions options = only({});
  options.environment = true;
  options.log = Log([&](const LogRecord& r) { said.emplace_back(r.message); });
  setenv("GRAFT_PLUGIN_PATH", ("relative::/not/there:" + folder.path().string()).c_str(), 1);
  const std::vector<fs::path> found = plugin_folders(options);
  unsetenv("GRAFT_PLUGIN_PATH");
  EXPECT_EQ(found, std::vector<fs::path>{folder.path()});
  ASSERT_EQ(said.size(), 1u);
  EXPECT_NE(said[0].find("'relative' is passed over"), std::string::npos);
}

TEST(Registry, FindsThePluginsBesideTheLibrary) {
  RegistryOptions options = only({});
  options.installed = true;
  Registry registry(options);  // the test program lies in bin, the plugins in lib/graft/plugins/0
  ASSERT_FALSE(registry.folders().empty());
  EXPECT_EQ(registry.folders()[0], fs::canonical(GRAFT_BUILT_PLUGIN_DIR));
  EXPECT_FALSE(registry.names(PluginKind::kMethod).empty());
}

TEST(Registry, AFolderOfTheOptionsMustBeThere) {
  expect_error([] { Registry registry(only({"/not/there"})); }, GRAFT_E_NOT_FOUND, {"/not/there"});
}

TEST(Registry, LogsWhatItLoads) {
  const Folder first, second;
  first.add(hostile("good"));
  const fs::path hidden = second.add(hostile("good"));
  std::string said;
  RegistryOptions options = only({first.path(), second.path()});
  options.log = Log([&](const LogRecord& r) { said += std::string(r.message) + "\n"; });
  Registry registry(options);
  EXPECT_EQ(said, "");
  registry.method("good");
  registry.method("good");
  const std::string sha = registry.info(PluginKind::kMethod, "good").sha256;
  EXPECT_NE(said.find("method good: org.example.good 1.2.3 from " + first.path().string()),
            std::string::npos);
  EXPECT_NE(said.find(sha), std::string::npos);
  EXPECT_EQ(said.find(sha), said.rfind(sha)) << "said once";
  EXPECT_NE(said.find("instead of " + hidden.string()), std::string::npos);
}

TEST(Registry, ManyThreadsGetOneTable) {
  const Folder folder;
  folder.add(hostile("good"));
  Registry registry(only({folder.path()}));
  std::vector<const graft_method_api*> got(8);
  std::vector<std::thread> threads;
  for (auto& slot : got) threads.emplace_back([&] { slot = &registry.method("good"); });
  for (std::thread& thread : threads) thread.join();
  for (const auto* api : got) EXPECT_EQ(api, got[0]);
}

}  // namespace
}  // namespace graft::core
