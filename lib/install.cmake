# What `cmake --install` puts where. The object libraries are inside libweir; what users still need
# with a static one are libzmq and SQLite, through pkg-config, and threads.
install(TARGETS weir EXPORT weirTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/weir DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp")

include(CMakePackageConfigHelpers)
set(weir_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
configure_package_config_file(weirConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/weirConfig.cmake
  INSTALL_DESTINATION ${weir_cmake_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/weirConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(EXPORT weirTargets NAMESPACE weir:: DESTINATION ${weir_cmake_dir})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/weirConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/weirConfigVersion.cmake
        DESTINATION ${weir_cmake_dir})

# Relative to the file itself, so that `cmake --install --prefix` and moving the tree are right;
# absolute where packagers say so.
set(weir_pc_prefix "${CMAKE_INSTALL_PREFIX}")
if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" up "${up}")
  set(weir_pc_prefix "\${pcfiledir}/${up}")
endif()
foreach(dir LIB INCLUDE)
  set(weir_pc_${dir} "${CMAKE_INSTALL_${dir}DIR}")
  if(NOT IS_ABSOLUTE "${weir_pc_${dir}}")
    set(weir_pc_${dir} "\${prefix}/${weir_pc_${dir}}")
  endif()
endforeach()
if(BUILD_SHARED_LIBS)
  set(weir_pc_needs "Requires.private: libzmq >= 4.3.4, sqlite3 >= 3.37")
else()
  # There is no libweir.so that would bring them along: always, not only with --static.
  set(weir_pc_needs "Requires: libzmq >= 4.3.4, sqlite3 >= 3.37")
  set(weir_pc_more " -pthread")
endif()
configure_file(weir.pc.in ${CMAKE_CURRENT_BINARY_DIR}/weir.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/weir.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
