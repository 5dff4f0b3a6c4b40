@echo off
rem Installs xfersplit @VERSION@ on a virtual machine for tests, for the disks that xfersplit.inf names.
rem windows.md, in this folder, explains every step. Changed are: the certificate stores, the driver store,
rem and the stacks of those disks. Nothing is restarted here.
rem Nobody has run this on Windows yet: take a snapshot first.
setlocal EnableExtensions DisableDelayedExpansion
cd /d "%~dp0" || exit /b 1

rem fltmc answers administrators only.
fltmc >nul 2>&1 || goto elevate

rem What the machine must be.
if /i not "%PROCESSOR_ARCHITECTURE%"=="AMD64" goto machine
set BUILD=0
for /f "tokens=3" %%b in ('reg query "HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion" /v CurrentBuildNumber') do set BUILD=%%b
if %BUILD% LSS @BUILD@ goto machine
reg query HKLM\SYSTEM\CurrentControlSet\Control /v SystemStartOptions | findstr /i TESTSIGNING >nul || goto testsigning

rem What the package must be. Windows takes no package without a catalog.
for %%f in (xfersplit.sys xfersplit.inf xfersplit-test.cer) do if not exist %%f goto incomplete
if not exist xfersplit.cat goto catalog

rem One package, once: an update is done by hand, and so is the package for all disks.
sc query xfersplit >nul 2>&1 && goto present
reg query "HKLM\SYSTEM\CurrentControlSet\Control\Class\{4d36e967-e325-11ce-bfc1-08002be10318}" /v LowerFilters 2>nul | findstr /i xfersplit >nul && goto listed

echo The disks of this machine, with their ids:
echo.
powershell -NoProfile -Command "Get-PnpDevice -Class DiskDrive -PresentOnly | ForEach-Object { $_.FriendlyName; $_.HardwareID | Select-Object -First 2 | ForEach-Object { '    ' + $_ } }"
echo.
echo The filter goes beneath every disk whose id stands in xfersplit.inf. If the disk
echo that Windows starts from is among them, it goes there too.
choice /c YN /n /m "Is there a snapshot to go back to, and shall it be installed? [Y/N] "
if errorlevel 2 goto declined

certutil -f -addstore Root xfersplit-test.cer || goto failed
certutil -f -addstore TrustedPublisher xfersplit-test.cer || goto failed
if not exist xfersplit-catalog.cer goto add
certutil -f -addstore Root xfersplit-catalog.cer || goto failed
certutil -f -addstore TrustedPublisher xfersplit-catalog.cer || goto failed

:add
pnputil /add-driver xfersplit.inf /install
set RESULT=%ERRORLEVEL%
rem 3010: restart wanted. 259: no disk of these ids is there.
if "%RESULT%"=="259" goto nothing
if not "%RESULT%"=="0" if not "%RESULT%"=="3010" goto failed
echo.
echo Installed. Restart now: the filter must be there when the disk starts.
echo   shutdown /r /t 0
exit /b 0

:elevate
echo Not elevated. Start it from a command prompt that was opened with "Run as administrator".
exit /b 1
:machine
echo This is not x64 Windows of build @BUILD@ or later. The driver would not load.
exit /b 1
:testsigning
echo Test signing is off, and the driver would not load. With Secure Boot off in the firmware:
echo   bcdedit /set testsigning on
echo   shutdown /r /t 0
exit /b 1
:incomplete
echo A file of the package is missing. Unpack all of it into one folder.
exit /b 1
:catalog
echo There is no xfersplit.cat, and Windows takes no package without one.
echo README.txt has the two commands that make and sign it, with the WDK.
exit /b 1
:present
echo A service xfersplit is there already. For an update, or to remove it, see windows.md.
exit /b 1
:listed
echo The class of disks lists xfersplit among its lower filters: that is the package for
echo all disks. The two do not go together; see windows.md.
exit /b 1
:declined
echo Nothing was changed.
exit /b 1
:nothing
echo The package is in the driver store, and no disk of this machine has an id that it names.
exit /b 1
:failed
echo Failed. remove-test-vm.cmd takes away what is there by now.
exit /b 1
