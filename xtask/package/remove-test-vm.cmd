@echo off
rem Removes xfersplit from a virtual machine for tests. It is started twice, with a restart in between:
rem first nothing may want the filter any more, then the service and the certificate go.
rem windows.md, in this folder, explains the order. Nothing is restarted here.
rem Nobody has run this on Windows yet: take a snapshot first.
setlocal EnableExtensions DisableDelayedExpansion
cd /d "%~dp0" || exit /b 1

rem fltmc answers administrators only.
fltmc >nul 2>&1 || goto elevate

rem A list that names a service which is gone is a disk that does not start (0x7B), so this comes before everything.
reg query "HKLM\SYSTEM\CurrentControlSet\Control\Class\{4d36e967-e325-11ce-bfc1-08002be10318}" /v LowerFilters 2>nul | findstr /i xfersplit >nul && goto listed

rem The packages, by a line that stands in no other INF.
set FOUND=0
set FAILED=0
for %%f in ("%SystemRoot%\INF\oem*.inf") do (
    findstr /l /i /c:"CatalogFile = xfersplit" "%%f" >nul 2>&1 && call :take "%%~nxf"
)
if %FAILED%==1 goto failed
if %FOUND%==1 goto restart

rem No package: what is left is a service without a stack, or nothing.
sc query xfersplit >nul 2>&1 || goto certificate
sc query xfersplit | findstr /c:RUNNING >nul && goto running
sc delete xfersplit || goto failed

:certificate
certutil -delstore TrustedPublisher @THUMBPRINT@ >nul 2>&1
certutil -delstore Root @THUMBPRINT@ >nul 2>&1
echo xfersplit is gone, and the certificate of this package with it. Test signing is as it was.
exit /b 0

:take
set FOUND=1
echo Removing the package %~1
pnputil /delete-driver %~1 /uninstall
if not "%ERRORLEVEL%"=="0" if not "%ERRORLEVEL%"=="3010" set FAILED=1
exit /b 0

:restart
echo.
echo The package is gone; the disks may still have the filter until the restart.
echo Restart, then start this once more:
echo   shutdown /r /t 0
exit /b 0

:elevate
echo Not elevated. Start it from a command prompt that was opened with "Run as administrator".
exit /b 1
:listed
echo The class of disks lists xfersplit among its lower filters. Take it out, restart,
echo and look that no disk shows it any more, before you start this again:
echo   devcon classfilter DiskDrive lower !xfersplit
echo   shutdown /r /t 0
echo   devcon stack =DiskDrive
exit /b 1
:running
echo No package is there, and xfersplit is loaded: a disk still has it. Restart and start this
echo again. If it is still loaded then, look for who names it before you delete anything: windows.md.
exit /b 1
:failed
echo Failed. Nothing else was touched. windows.md says how to go on by hand.
exit /b 1
